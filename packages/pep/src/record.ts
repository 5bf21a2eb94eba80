import type { Operation } from '@remit/capability/scope';
import type { Rev } from '@remit/contracts';
import type { RecordInput } from '@remit/recorder';
import type { Asked, Finding } from './decide.ts';
import type { Allowed } from './enforce.ts';
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
  const { capability } = caller;
  const { operation, online, miss } = finding;
  return {
    id: context.id,
    event: 'decision',
    decision: finding.reason === 'permitted' ? 'allow' : 'deny',
    reason: finding.reason,
    principal: capability.subject,
    ...identity(caller),
    operation: operation
      ? { action: operation.action, resource: operation.resource, args: operation.args }
      : { action: clip(context.asked.action), resource: clip(context.asked.resource) },
    audience: context.audience,
    // Frozen; the recorder copies it.
    scope: capability.scope.permissions as never,
    dimensions: finding.dimensions,
    policy_version: online?.policyVersion ?? capability.policy.version,
    token: tokenOf(caller),
    latency_us: context.latencyUs,
    ...(miss ? { miss } : {}),
    ...(online ? { policies: online.policies, registry_revision: online.registryRevision } : {}),
    ...(online?.obligations.length ? { obligations: online.obligations } : {}),
    ...detailOf(finding),
    ...(context.rev ? { feed: context.rev } : {}),
    ...(context.supersedes ? { decision_id: context.supersedes } : {}),
  };
}

/** The record of one offline hop: to whom it was handed, and what. Its giver is the actor before. */
export function delegatedRecord(audience: string, caller: VerifiedToken, at: number): RecordInput {
  const links = caller.links.slice(0, at + 1);
  const link = links.at(-1);
  const handed = { ...caller, links, capability: link?.capability ?? caller.capability };
  const { capability } = handed;
  return {
    event: 'token.delegated',
    decision: 'allow',
    reason: 'permitted',
    principal: capability.subject,
    ...identity(handed),
    audience,
    // Frozen; the recorder copies it.
    scope: capability.scope.permissions as never,
    policy_version: capability.policy.version,
    token: tokenOf(handed),
    detail: { grant: 'link', offline: true, worker: link?.worker ?? false },
  };
}

export function tokenOf({
  capability,
  alg,
  kid,
}: VerifiedToken): NonNullable<RecordInput['token']> {
  const { confirmation } = capability;
  return {
    jti: capability.id,
    lineage: [...capability.lineage],
    exp: capability.expiresAt,
    alg,
    kid,
    rev: capability.rev,
    ...(confirmation && 'jkt' in confirmation ? { jkt: confirmation.jkt } : {}),
  };
}

/** Use and budgets, by their ids: an amount is an argument of the call, and stands there alone. */
function detailOf({ use, spending }: Finding): Pick<RecordInput, 'detail'> {
  if (!use && !spending) return {};
  return {
    detail: {
      ...(use ? { use_id: use.id, use: use.outcome } : {}),
      ...(use?.attempt ? { attempt: use.attempt } : {}),
      ...(spending ? { budgets: spending.budgets.join(' '), spending: spending.outcome } : {}),
      ...(spending?.attempt ? { spending_attempt: spending.attempt } : {}),
      ...(spending?.refusedBy ? { budget: spending.refusedBy } : {}),
    },
  };
}

/** The record of how an allowed call ended; it names the decision. */
export function finishRecord(
  call: Allowed,
  audience: string,
  end: {
    outcome: 'ok' | 'failed';
    durationMs: number;
    /** What became of what the call spent of budgets. */
    spending?: 'committed' | 'released' | undefined;
  },
): RecordInput {
  const { outcome, durationMs, spending } = end;
  return {
    event: 'call.finished',
    principal: call.principal,
    ...identity(call),
    operation: { action: call.operation.action, resource: call.operation.resource },
    audience,
    decision_id: call.id,
    detail: {
      outcome,
      duration_ms: Math.round(durationMs * 1_000) / 1_000,
      ...(spending ? { spending } : {}),
    },
  };
}

/** The composite identity: launching principal, originating agent, immediate caller, the chain, the task. */
export function identity({ capability, links }: Pick<VerifiedToken, 'capability' | 'links'>) {
  const { actors, clientId, task } = capability;
  return {
    actor: actors.at(-1) as string,
    act_chain: [...actors],
    ...(links.length > 0 ? { links: links.map(({ id, actor, jkt }) => ({ id, actor, jkt })) } : {}),
    origin_agent: actors[0] as string,
    client: clientId,
    task: { id: task.id, type: task.type, ...(task.purpose ? { purpose: task.purpose } : {}) },
  };
}

/** What a call that can't be read says it is. It may be anything: a callback of the tool gave it. */
const clip = (name: unknown) => String(name).slice(0, 512).toWellFormed() || '-';

/** Bytes of one record with its values: under the 1 MiB that NATS carries, with room to spare. */
const MAX_RECORD_BYTES = 700_000;
/** The ledger parses 32 levels; the values of a record start on the fifth. */
const MAX_VALUE_DEPTH = 24;

/**
 * Whether an operation can be written down whole. What can't must not be decided on: its record would
 * be refused on its way, so that the call was nowhere and those after it waited behind it.
 */
export function isRecordable({ action, resource, args }: Operation): boolean {
  const keys = Object.keys(args);
  if (!action.isWellFormed() || !resource.isWellFormed()) return false;
  if (keys.length === 0) return true;
  const text = JSON.stringify(args);
  // Each key stands in the record and in the pointer to its value, beside a hash and a salt.
  if (Buffer.byteLength(text) * 3 + keys.length * 200 > MAX_RECORD_BYTES) return false;
  return isPlain(args, MAX_VALUE_DEPTH);
}

function isPlain(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value !== 'object' || value === null) return true;
  if (depth === 0) return false;
  return Object.entries(value).every(
    ([key, below]) => key.isWellFormed() && isPlain(below, depth - 1),
  );
}
