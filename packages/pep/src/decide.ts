import { isIP } from 'node:net';
import type { Bus, Verifier } from '@remit/bus';
import {
  type Operation,
  type PermitsResult,
  parseOperation,
  permits,
} from '@remit/capability/scope';
import { accessTokenHash, checkTimes } from '@remit/capability/token';
import {
  type Dimensions,
  isReason,
  type MissJson,
  type Obligation,
  type Reason,
  type Rev,
  type Signals,
} from '@remit/contracts';
import type { RevocationView } from '@remit/revocation-view';
import type { Budgets, Spending } from './budgets.ts';
import type { Feed } from './feed.ts';
import { isFulfilled, type Obligations } from './obligations.ts';
import type { Possession } from './possession.ts';
import { type Presented, readCredentials } from './presented.ts';
import { isRecordable } from './record.ts';
import { reasonOf } from './refusal.ts';
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
  online?: {
    policies: string[];
    /** On an allow: what was fulfilled. On a deny: what would change it. */
    obligations: Obligation[];
    policyVersion: string;
    registryRevision: number;
  };
  /** What the PDP is told of the call besides its operation. */
  signals?: Signals | undefined;
  /** What was reserved from the token's budgets, where the call got that far. */
  spending?: Spending;
  /** What became of the token's single use, where the call got that far. */
  use?: Use;
  /** The nonce of this instance that the proof was made with. */
  nonce?: string;
  /** The revocations that were known when it was decided; facts that changed later ask for the PDP. */
  asOf?: Rev | undefined;
};

export type DecideDeps = {
  tenant: string;
  audience: string;
  tokens: TokenVerifier;
  view: RevocationView;
  feed: Feed;
  possession: Possession;
  uses: SingleUses;
  budgets: Budgets;
  obligations: Obligations;
  bus: Bus;
  pdpKeys: Verifier;
  monotonicMs: () => number;
};

const NOT_EVALUATED: Dimensions = {
  agent: 'not_evaluated',
  user: 'not_evaluated',
  task: 'not_evaluated',
  policies: 'not_evaluated',
};
/** How long a token that is ahead of the view waits for the view to catch up. */
const CATCH_UP_MS = 250;
/** How often facts may change while one call is judged again. */
const MAX_ASKED_AGAIN = 2;

/**
 * Decides one call, cheapest check first: credentials, signature, proof, time, revocation and
 * freshness, scope and arguments; then the PDP where the permission is online, facts changed
 * since the token was decided, or a link names an agent behind another. Then the token's budgets are reserved, and its single use is consumed
 * last, so that a call refused by anything else leaves it, and what was reserved is given back.
 * Freshness and revocation are checked again after each `await`. Records nothing. Never throws: what can't be checked is a refusal.
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

/** Who asks, with a token that is alive at this moment. */
export type Identified = { caller: VerifiedToken; nonce?: string; standing: 'live' | 'recheck' };

/**
 * The checks that come before what is asked: credentials, signature, proof, time, revocation and
 * freshness. Returns the refusal otherwise. Throws only what nobody expected.
 */
export async function identify(
  deps: DecideDeps,
  presented: Presented,
): Promise<Identified | { refused: Finding }> {
  const stranger = (reason: Reason) => ({ refused: { reason, dimensions: NOT_EVALUATED } });
  const credentials = readCredentials(presented);
  if ('refused' in credentials) return stranger(credentials.refused);

  // Names the text in the cache of tokens and in the proof: hashed once.
  const tokenHash = accessTokenHash(credentials.token);
  let caller: VerifiedToken;
  try {
    const verified = deps.tokens.verify(credentials.token, tokenHash);
    caller = verified instanceof Promise ? await verified : verified;
  } catch (cause) {
    return stranger(reasonOf(cause));
  }
  // The feed's clock judges all times; a PEP that never heard the feed can't tell what time it is.
  const nowMs = deps.view.feedTimeMs(deps.monotonicMs());
  if (nowMs === undefined) return stranger('status_stale');
  const { capability } = caller;
  let proved = deps.possession.prove(presented, credentials, capability, nowMs / 1_000, tokenHash);
  if (proved instanceof Promise) proved = await proved;
  const { nonce } = proved;
  const told = nonce === undefined ? {} : { nonce };
  if (proved.refused)
    return { refused: { reason: proved.refused, dimensions: NOT_EVALUATED, ...told } };
  let standing = standingOf(deps, caller);
  if (standing === 'status_behind') {
    await deps.feed.catchUp(CATCH_UP_MS);
    standing = standingOf(deps, caller);
  }
  if (standing !== 'live' && standing !== 'recheck')
    return { refused: { reason: standing, caller, dimensions: NOT_EVALUATED, ...told } };
  return { caller, standing, ...told };
}

async function check(deps: DecideDeps, presented: Presented, asked: Asked): Promise<Finding> {
  const identified = await identify(deps, presented);
  if ('refused' in identified) return identified.refused;
  const { caller, nonce, standing } = identified;
  const known = (reason: Reason, more: Partial<Finding> = {}): Finding => ({
    reason,
    caller,
    dimensions: NOT_EVALUATED,
    ...(nonce ? { nonce } : {}),
    ...more,
  });

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
  const local = {
    operation,
    dimensions: { ...NOT_EVALUATED, task: 'allow' as const },
    asOf: deps.view.rev(),
  };
  if (!admitted.online && standing === 'live' && !isNewCompany(caller)) {
    return spend(deps, caller, known('permitted', local));
  }

  const signals = signalsOf(presented);
  const answer = await askPdp(deps, caller, operation, signals);
  const reason = await fulfil(deps, answer, operation);
  const afterwards = standingOf(deps, caller);
  if (afterwards !== 'live' && afterwards !== 'recheck') return known(afterwards, local);
  return spend(deps, caller, known(reason, { ...local, ...answer, reason, signals }));
}

/**
 * Whether the actors of a chain were never decided on together. An entry of `may_act` was, with the agent
 * that starts the task alone. A guardrail for a third agent may look at the one between (02, rule 1).
 */
function isNewCompany({ capability, links }: VerifiedToken): boolean {
  return capability.actors.length > 2 && links.some(({ worker }) => !worker);
}

/** Fulfils what an allow rests on; what is not fulfilled is a refusal, before anything is spent. */
async function fulfil(
  { obligations }: DecideDeps,
  answer: Answer,
  operation: Operation,
): Promise<Reason> {
  const asked = answer.online?.obligations ?? [];
  if (answer.reason !== 'permitted' || asked.length === 0) return answer.reason;
  return (await obligations.fulfil(asked, operation)) ? 'permitted' : 'obligation_unfulfilled';
}

/** An address is told where `source` is one; the tool's author may say more, or otherwise. */
function signalsOf({ source, signals }: Presented): Signals | undefined {
  const ip =
    source !== undefined && isIP(source) !== 0 && !source.includes('%') ? source : undefined;
  if (ip === undefined) return signals;
  return { ip, ...signals };
}

/** The last checks of a call that nothing else refuses: budgets, then the single use. */
async function spend(deps: DecideDeps, caller: VerifiedToken, found: Finding): Promise<Finding> {
  const { budgets, singleUse } = caller.capability;
  let spent = found;
  if (spent.reason === 'permitted' && budgets?.length && spent.operation) {
    const { reason, spending } = await deps.budgets.reserve(caller, budgets, spent.operation);
    spent = { ...spent, reason: aliveOr(deps, caller, reason), spending };
  }
  if (spent.reason === 'permitted' && singleUse !== undefined) {
    const { reason, use } = await deps.uses.consume(caller, singleUse);
    spent = { ...spent, reason: aliveOr(deps, caller, reason), use };
  }
  if (spent.reason !== 'permitted') giveBack(deps, spent);
  return spent;
}

/** What died while it was asked is dead, whatever the answer. */
function aliveOr(deps: DecideDeps, caller: VerifiedToken, reason: Reason): Reason {
  const standing = standingOf(deps, caller);
  return standing === 'live' || standing === 'recheck' ? reason : standing;
}

/** Gives back, without waiting for it, what a call holds that does not happen after all. */
export function giveBack(deps: Pick<DecideDeps, 'budgets'>, { spending }: Finding): void {
  if (spending?.outcome === 'reserved' && spending.attempt !== undefined) {
    void deps.budgets.release(spending.attempt);
  }
}

/**
 * Judges an allowed call again after something was waited for: revocation and freshness, and the PDP
 * where facts changed since it was decided. Returns the finding itself when nothing changed for it.
 * Facts that don't stop changing refuse the call.
 */
export async function judgeAgain(
  deps: DecideDeps,
  finding: Finding & { caller: VerifiedToken; operation: Operation },
): Promise<Finding> {
  let { asOf } = finding;
  for (let asked = 0; ; asked++) {
    const standing = standingOf(deps, finding.caller);
    if (standing === 'live') return finding;
    if (standing !== 'recheck') return { ...finding, reason: standing };
    const now = deps.view.rev();
    if (asOf && now && asOf.epoch === now.epoch && asOf.seq === now.seq) return finding;
    if (asked === MAX_ASKED_AGAIN) return { ...finding, reason: 'status_behind' };
    const answer = await askPdp(deps, finding.caller, finding.operation, finding.signals);
    if (answer.reason !== 'permitted') return { ...finding, ...answer };
    // The tool was made ready for what was asked before; something new comes too late.
    if (!isFulfilled(answer.online?.obligations ?? [], finding.online?.obligations ?? []))
      return { ...finding, ...answer, reason: 'obligation_unfulfilled' };
    asOf = now;
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

type Answer = Pick<Finding, 'reason' | 'miss' | 'online'> & { dimensions?: Dimensions };

async function askPdp(
  deps: DecideDeps,
  { capability }: VerifiedToken,
  operation: Operation,
  signals: Signals | undefined,
): Promise<Answer> {
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
        ...(capability.approval === undefined ? {} : { approval: capability.approval }),
        ...(signals === undefined ? {} : { signals }),
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
      obligations: online.obligations ?? [],
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
