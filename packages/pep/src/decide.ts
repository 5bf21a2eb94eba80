import type { Bus, Verifier } from '@remit/bus';
import {
  type Operation,
  type PermitsResult,
  parseOperation,
  permits,
} from '@remit/capability/scope';
import {
  checkBinding,
  checkTimes,
  type ProofAlgorithm,
  type ProofKeyCache,
  verifyProof,
} from '@remit/capability/token';
import { type Dimensions, isReason, type MissJson, type Reason } from '@remit/contracts';
import type { RevocationView } from '@remit/revocation-view';
import type { Feed } from './feed.ts';
import { type Credentials, type Presented, readCredentials } from './presented.ts';
import { isRecordable } from './record.ts';
import { reasonOf } from './refusal.ts';
import type { ReplayMemory } from './replay.ts';
import type { SingleUses, Use } from './single-use.ts';
import type { TokenVerifier, VerifiedToken } from './verified-token.ts';

/** What the tool is about to do, before it is checked: `args` is copied, never used again. */
export type Asked = { action: string; resource: string; args: unknown };

/**
 * What the checks found. `caller` says who asked, once signature, issuer, audience and proof hold;
 * without it the call is a stranger's, of whom nothing is believed.
 */
export type Finding = {
  reason: Reason;
  caller?: VerifiedToken;
  operation?: Operation;
  dimensions: Dimensions;
  miss?: MissJson;
  /** The PDP's answer, where it was asked. */
  online?: { policies: string[]; policyVersion: string; registryRevision: number };
  /** What became of the token's single use, where the call got that far. */
  use?: Use;
};

export type DecideDeps = {
  tenant: string;
  audience: string;
  tokens: TokenVerifier;
  view: RevocationView;
  feed: Feed;
  replay: ReplayMemory;
  uses: SingleUses;
  bus: Bus;
  pdpKeys: Verifier;
  monotonicMs: () => number;
  proofWindowSeconds: number;
  proofAlgorithms: readonly ProofAlgorithm[];
  /** Imported keys of holders by thumbprint: public, so that losing one costs time alone. */
  proofKeys: ProofKeyCache;
};

const NOT_EVALUATED: Dimensions = {
  agent: 'not_evaluated',
  user: 'not_evaluated',
  task: 'not_evaluated',
  policies: 'not_evaluated',
};
/** How long a token that is ahead of the view waits for the view to catch up. */
const CATCH_UP_MS = 250;

/**
 * Decides one call, cheapest check first: credentials, signature, proof, time, revocation and
 * freshness, scope and arguments; then the PDP where the permission is online or facts changed
 * since the token was decided. The single use of a token that has one is consumed last, so that a
 * call refused by anything else leaves it. Freshness and revocation are checked again after each
 * `await`. Records nothing. Never throws: what can't be checked is a refusal.
 *
 * At most once, not exactly once: a use that is consumed stays so when the call is refused after all
 * (the token died meanwhile, its record can't be kept) or the process ends. A new launch is needed.
 */
export async function decide(
  deps: DecideDeps,
  presented: Presented,
  asked: Asked,
): Promise<Finding> {
  try {
    return await check(deps, presented, asked);
  } catch {
    return { reason: 'internal', dimensions: NOT_EVALUATED };
  }
}

async function check(deps: DecideDeps, presented: Presented, asked: Asked): Promise<Finding> {
  const stranger = (reason: Reason): Finding => ({ reason, dimensions: NOT_EVALUATED });
  const credentials = readCredentials(presented);
  if ('refused' in credentials) return stranger(credentials.refused);

  let caller: VerifiedToken;
  try {
    caller = await deps.tokens.verify(credentials.token);
  } catch (cause) {
    return stranger(reasonOf(cause));
  }
  // The feed's clock judges all times; a PEP that never heard the feed can't tell what time it is.
  const nowMs = deps.view.feedTimeMs(deps.monotonicMs());
  if (nowMs === undefined) return stranger('status_stale');
  const unproved = provePossession(deps, presented, credentials, caller, nowMs / 1_000);
  if (unproved) return stranger(unproved);

  const known = (reason: Reason, more: Partial<Finding> = {}): Finding => ({
    reason,
    caller,
    dimensions: NOT_EVALUATED,
    ...more,
  });
  // A restriction that is not kept here is not a smaller one: budgets are reserved by later versions.
  if (caller.capability.budgets?.length) return known('restriction_unsupported');
  let standing = standingOf(deps, caller);
  if (standing === 'status_behind') {
    await deps.feed.catchUp(CATCH_UP_MS);
    standing = standingOf(deps, caller);
  }
  if (standing !== 'live' && standing !== 'recheck') return known(standing);

  let operation: Operation;
  try {
    operation = parseOperation(asked);
  } catch (cause) {
    return known(reasonOf(cause));
  }
  if (!isRecordable(operation)) return known('arguments_invalid');
  const admitted = permits(caller.capability.scope, operation);
  if (!admitted.ok) {
    return known(missReason(admitted), {
      operation,
      dimensions: { ...NOT_EVALUATED, task: 'deny' },
      miss: missJson(admitted),
    });
  }
  const local = { operation, dimensions: { ...NOT_EVALUATED, task: 'allow' as const } };
  if (!admitted.online && standing === 'live') {
    return spendUse(deps, caller, known('permitted', local));
  }

  const answer = await askPdp(deps, caller, operation);
  const afterwards = standingOf(deps, caller);
  if (afterwards !== 'live' && afterwards !== 'recheck') return known(afterwards, local);
  return spendUse(deps, caller, known(answer.reason, { ...local, ...answer }));
}

/** The last check of a call that nothing else refuses. What died while it was asked is dead. */
async function spendUse(deps: DecideDeps, caller: VerifiedToken, found: Finding): Promise<Finding> {
  const { singleUse } = caller.capability;
  if (found.reason !== 'permitted' || singleUse === undefined) return found;
  const { reason, use } = await deps.uses.consume(caller, singleUse);
  const standing = standingOf(deps, caller);
  const alive = standing === 'live' || standing === 'recheck';
  return { ...found, reason: alive ? reason : standing, use };
}

/** Refuses unless the caller holds the key that the token is bound to (RFC 9449 section 7.1). */
function provePossession(
  deps: DecideDeps,
  presented: Presented,
  { scheme, proof, token }: Credentials,
  { capability }: VerifiedToken,
  nowSeconds: number,
): Reason | undefined {
  const bound = capability.confirmation !== undefined;
  if (bound !== (scheme === 'DPoP')) return 'proof_scheme';
  if (!bound) return undefined;
  if (proof === undefined) return 'proof_required';
  try {
    const jkt = 'jkt' in capability.confirmation ? capability.confirmation.jkt : undefined;
    const proved = verifyProof({
      proof,
      jkt,
      accessToken: token,
      method: presented.method,
      url: presented.url,
      nowSeconds,
      windowSeconds: deps.proofWindowSeconds,
      algorithms: deps.proofAlgorithms,
      keyCache: deps.proofKeys,
    });
    checkBinding(capability, { jkt: proved.jkt });
    const claim = deps.replay.claim(`${proved.jkt}.${proved.jti}`, nowSeconds);
    if (claim === 'full') return 'overloaded';
    return claim === 'replayed' ? 'proof_replayed' : undefined;
  } catch (cause) {
    return reasonOf(cause);
  }
}

/**
 * Whether the token is alive at this moment by the feed's clock and by the view: `live`, `recheck`
 * (ask the PDP), or why not. Asked again after every `await`.
 */
export function standingOf(
  deps: Pick<DecideDeps, 'view' | 'monotonicMs'>,
  caller: VerifiedToken,
): 'live' | 'recheck' | Reason {
  const nowMs = deps.monotonicMs();
  const feedMs = deps.view.feedTimeMs(nowMs);
  if (feedMs === undefined) return 'status_stale';
  try {
    checkTimes(caller.capability, feedMs / 1_000);
  } catch (cause) {
    return reasonOf(cause);
  }
  const verdict = deps.view.check(caller.subjects, nowMs);
  switch (verdict.verdict) {
    case 'live':
    case 'recheck':
      return verdict.verdict;
    case 'stale':
      return 'status_stale';
    case 'behind':
      return 'status_behind';
    case 'revoked':
      return verdict.reason;
  }
}

async function askPdp(deps: DecideDeps, { capability }: VerifiedToken, operation: Operation) {
  const online = await deps.bus
    .call(
      'pdp.evaluate',
      deps.tenant,
      {
        actors: [...capability.actors],
        user: capability.subject,
        client: capability.clientId,
        task: { id: capability.task.id, type: capability.task.type },
        audience: deps.audience,
        scope: structuredClone(capability.scope.permissions) as never,
        operation: {
          action: operation.action,
          resource: operation.resource,
          args: structuredClone(operation.args) as never,
        },
      },
      { verifier: deps.pdpKeys },
    )
    .catch(() => undefined);
  if (!online) return { reason: 'pdp_unavailable' as const };
  const refused: Reason =
    isReason(online.reason) && online.reason !== 'permitted' ? online.reason : 'policy_forbid';
  return {
    reason: online.decision === 'allow' ? ('permitted' as const) : refused,
    dimensions: online.dimensions,
    ...(online.miss ? { miss: online.miss } : {}),
    online: {
      policies: online.policies,
      policyVersion: online.policy_version,
      registryRevision: online.registry_revision,
    },
  };
}

function missReason({ miss }: Extract<PermitsResult, { ok: false }>): Reason {
  switch (miss.kind) {
    case 'action':
      return 'scope_action';
    case 'resource':
      return 'scope_resource';
    case 'args':
      return 'scope_arguments';
    case 'constraint':
      return 'scope_constraint';
  }
}

function missJson({ miss }: Extract<PermitsResult, { ok: false }>): MissJson {
  return {
    kind: miss.kind,
    ...('path' in miss ? { path: miss.path } : {}),
    ...('test' in miss ? { test: miss.test } : {}),
  };
}
