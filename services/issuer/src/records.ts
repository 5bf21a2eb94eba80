import type { RecordInput } from '@remit/recorder';
import type { IssuerError } from './error.ts';
import type { SignedToken } from './grant/issue.ts';
import { jktOf } from './grant/subject-token.ts';
import type { Trail } from './grant/trail.ts';

/** The longest text of a fact; a longer one is left out. */
const MAX_DETAIL = 2_048;

/**
 * The record of a token that is about to leave: the composite identity, the scope and its decision.
 * Of a delegated token the actor is the one that it was made for; who handed it on is the client.
 */
export function issuedRecord(signed: SignedToken, trail: Trail, latencyUs: number): RecordInput {
  const { capability, decision, signer, jkt, origin } = signed;
  return {
    event: origin.grant === 'delegation' ? 'token.delegated' : 'token.issued',
    decision: 'allow',
    reason: 'permitted',
    principal: capability.subject,
    ...chainOf(capability.actors),
    ...linksOf(trail),
    client: capability.clientId,
    task: capability.task,
    audience: capability.audience,
    scope: decision.permissions,
    dimensions: decision.dimensions,
    policies: decision.policies,
    policy_version: decision.policy_version,
    registry_revision: decision.registry_revision,
    token: {
      jti: capability.id,
      lineage: [...capability.lineage],
      exp: capability.expiresAt,
      alg: signer.alg,
      kid: signer.kid,
      rev: capability.rev,
      ...(jkt === undefined ? {} : { jkt }),
    },
    feed: capability.rev,
    decision_id: decision.id,
    latency_us: latencyUs,
    detail: {
      grant: origin.grant,
      token_type: jkt === undefined ? 'Bearer' : 'DPoP',
      asked: askedFor(origin, trail),
      ...(origin.grant === 'renewal' ? { renewed: origin.from } : {}),
      ...(origin.grant === 'delegation' ? givenUpDetail(origin.givenUp) : {}),
    },
  };
}

function askedFor(origin: SignedToken['origin'], { requested }: Trail): string {
  if (origin.grant === 'launch' && origin.free) return 'free_list';
  return requested === undefined ? 'ceiling' : 'list';
}

/** One operation that the giver may do and the receiver may not; its values come from the scopes. */
function givenUpDetail(
  givenUp: { action: string; resource: string; args: object } | undefined,
): Record<string, string> {
  if (givenUp === undefined) return {};
  const { action, resource } = givenUp;
  const args = JSON.stringify(givenUp.args);
  return {
    given_up: `${action} ${resource}`,
    ...(args === '{}' || args.length > MAX_DETAIL ? {} : { given_up_args: args }),
  };
}

/** The offline hops of the token that was presented. */
function linksOf({ links = [] }: Trail): Pick<RecordInput, 'links'> {
  if (links.length === 0) return {};
  return { links: links.map(({ id, actor, jkt }) => ({ id, actor, jkt })) };
}

function chainOf(actors: readonly string[]) {
  const [origin] = actors;
  const actor = actors.at(-1);
  return {
    act_chain: [...actors],
    ...(actor === undefined ? {} : { actor }),
    ...(origin === undefined ? {} : { origin_agent: origin }),
  };
}

/**
 * The record of a refusal: what the request had proved when it ended, and why it did. `scope` is the
 * list that the client wrote. `token` is the one that was presented, whoever did: its chain is told only
 * where the client is its current actor.
 */
export function refusedRecord(
  error: IssuerError,
  trail: Trail,
  { latencyUs, endpoint }: { latencyUs: number; endpoint: string },
): RecordInput {
  const { reason, decision, refused, dimension, signedBy } = error.context;
  const client = trail.client ?? signedBy;
  return {
    event: 'token.refused',
    decision: 'deny',
    reason,
    ...(trail.user === undefined ? {} : { principal: trail.user }),
    ...(client === undefined ? {} : { ...whoAsked(client, trail), client }),
    ...linksOf(trail),
    ...(trail.taskId === undefined || trail.taskType === undefined
      ? {}
      : { task: { id: trail.taskId, type: trail.taskType } }),
    ...(trail.audience === undefined ? {} : { audience: trail.audience }),
    ...(trail.requested === undefined ? {} : { scope: [...trail.requested] }),
    ...(trail.held === undefined ? {} : { token: presented(trail.held) }),
    ...(trail.rev === undefined ? {} : { feed: trail.rev }),
    ...(decision === undefined
      ? {}
      : {
          decision_id: decision.id,
          dimensions: decision.dimensions,
          policies: decision.policies,
          policy_version: decision.policy_version,
          registry_revision: decision.registry_revision,
          ...(decision.miss === undefined ? {} : { miss: decision.miss }),
        }),
    latency_us: latencyUs,
    detail: {
      code: error.code,
      endpoint,
      ...(trail.jkt === undefined ? {} : { jkt: trail.jkt }),
      ...(trail.taskType === undefined ? {} : { task_type: trail.taskType }),
      ...(trail.nextActor === undefined ? {} : { next_actor: trail.nextActor }),
      ...(dimension === undefined ? {} : { dimension }),
      ...(refused?.permission === undefined ? {} : { refused_permission: refused.permission }),
      ...(refused?.slot === undefined ? {} : { refused_slot: refused.slot }),
      ...(refused?.path === undefined ? {} : { refused_path: refused.path }),
    },
  };
}

/** The chain of the token that is the client's own; else the client alone, once it is authenticated. */
function whoAsked(client: string, { held, client: authenticated }: Trail) {
  if (held !== undefined && held.actors.at(-1) === client) return chainOf(held.actors);
  return {
    actor: client,
    act_chain: [client],
    ...(authenticated === undefined ? {} : { origin_agent: client }),
  };
}

function presented(held: NonNullable<Trail['held']>): NonNullable<RecordInput['token']> {
  const jkt = jktOf(held);
  return {
    jti: held.id,
    lineage: [...held.lineage],
    exp: held.expiresAt,
    rev: held.rev,
    ...(jkt === undefined ? {} : { jkt }),
  };
}
