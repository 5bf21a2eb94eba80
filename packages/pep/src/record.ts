import type { Rev } from '@remit/contracts';
import type { RecordInput } from '@remit/recorder';
import type { Asked, Finding } from './decide.ts';
import type { Allowed } from './pep.ts';
import type { VerifiedToken } from './verified-token.ts';

/** What the record of one call needs beside the finding. */
export type CallContext = {
  id: string;
  audience: string;
  asked: Asked;
  latencyUs: number;
  rev: Rev | undefined;
  /** The id of the record that this one corrects: recording took so long that the answer changed. */
  supersedes?: string;
};

/** The one `decision` record of a call: who, for whom, which task, what, why, with which token. */
export function callRecord(
  context: CallContext,
  finding: Finding,
  caller: VerifiedToken,
): RecordInput {
  const { capability, alg, kid } = caller;
  const { operation, online, miss, use } = finding;
  const jkt =
    capability.confirmation && 'jkt' in capability.confirmation
      ? capability.confirmation.jkt
      : undefined;
  return {
    id: context.id,
    event: 'decision',
    decision: finding.reason === 'permitted' ? 'allow' : 'deny',
    reason: finding.reason,
    principal: capability.subject,
    ...identity(capability),
    operation: operation
      ? { action: operation.action, resource: operation.resource, args: operation.args }
      : { action: clip(context.asked.action), resource: clip(context.asked.resource) },
    audience: context.audience,
    scope: structuredClone(capability.scope.permissions) as never,
    dimensions: finding.dimensions,
    policy_version: online?.policyVersion ?? capability.policy.version,
    token: {
      jti: capability.id,
      lineage: [...capability.lineage],
      exp: capability.expiresAt,
      alg,
      kid,
      rev: capability.rev,
      ...(jkt ? { jkt } : {}),
    },
    latency_us: context.latencyUs,
    ...(miss ? { miss } : {}),
    ...(online ? { policies: online.policies, registry_revision: online.registryRevision } : {}),
    ...(use
      ? {
          detail: {
            use_id: use.id,
            use: use.outcome,
            ...(use.attempt ? { attempt: use.attempt } : {}),
          },
        }
      : {}),
    ...(context.rev ? { feed: context.rev } : {}),
    ...(context.supersedes ? { decision_id: context.supersedes } : {}),
  };
}

/** The record of how an allowed call ended; it names the decision. */
export function finishRecord(
  call: Allowed,
  audience: string,
  outcome: 'ok' | 'failed',
  durationMs: number,
): RecordInput {
  return {
    event: 'call.finished',
    principal: call.principal,
    ...identity(call.capability),
    operation: { action: call.operation.action, resource: call.operation.resource },
    audience,
    decision_id: call.id,
    detail: { outcome, duration_ms: Math.round(durationMs * 1_000) / 1_000 },
  };
}

/** The composite identity: launching principal, originating agent, immediate caller, the chain, the task. */
function identity({ actors, clientId, task }: VerifiedToken['capability']) {
  return {
    actor: actors.at(-1) as string,
    act_chain: [...actors],
    origin_agent: actors[0] as string,
    client: clientId,
    task: { id: task.id, type: task.type, ...(task.purpose ? { purpose: task.purpose } : {}) },
  };
}

const clip = (name: string) => name.toWellFormed().slice(0, 512) || '-';
