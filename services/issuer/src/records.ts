import type { RecordInput } from '@remit/recorder';
import type { IssuerError } from './error.ts';
import type { SignedToken, Trail } from './grant/exchange.ts';

/** The record of a token that is about to leave: the composite identity, the scope and its decision. */
export function issuedRecord(signed: SignedToken, trail: Trail, latencyUs: number): RecordInput {
  const { capability, decision, signer, jkt } = signed;
  return {
    event: 'token.issued',
    decision: 'allow',
    reason: 'permitted',
    principal: capability.subject,
    actor: capability.clientId,
    act_chain: [...capability.actors],
    origin_agent: capability.clientId,
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
      grant: 'launch',
      token_type: jkt === undefined ? 'Bearer' : 'DPoP',
      asked: trail.requested === undefined ? 'ceiling' : 'list',
    },
  };
}

/**
 * The record of a refusal: what the request had proved when it ended, and why it did. `scope` is the
 * list that the client wrote.
 */
export function refusedRecord(error: IssuerError, trail: Trail, latencyUs: number): RecordInput {
  const { reason, decision, refused, dimension, signedBy } = error.context;
  const client = trail.client ?? signedBy;
  return {
    event: 'token.refused',
    decision: 'deny',
    reason,
    ...(trail.user === undefined ? {} : { principal: trail.user }),
    ...(client === undefined ? {} : { actor: client, act_chain: [client], client }),
    ...(trail.client === undefined ? {} : { origin_agent: trail.client }),
    ...(trail.taskId === undefined || trail.taskType === undefined
      ? {}
      : { task: { id: trail.taskId, type: trail.taskType } }),
    ...(trail.audience === undefined ? {} : { audience: trail.audience }),
    ...(trail.requested === undefined ? {} : { scope: [...trail.requested] }),
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
      ...(trail.jkt === undefined ? {} : { jkt: trail.jkt }),
      ...(trail.taskType === undefined ? {} : { task_type: trail.taskType }),
      ...(dimension === undefined ? {} : { dimension }),
      ...(refused?.permission === undefined ? {} : { refused_permission: refused.permission }),
      ...(refused?.slot === undefined ? {} : { refused_slot: refused.slot }),
      ...(refused?.path === undefined ? {} : { refused_path: refused.path }),
    },
  };
}
