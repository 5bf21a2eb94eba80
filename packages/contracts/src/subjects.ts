import { createHash } from 'node:crypto';
import { ContractError } from './error.ts';
import { nodeName, tenantId } from './ids.ts';

/** Number of beat shards: a tenant's shard is the first 6 bits of SHA-256 of its id. */
export const BEAT_SHARDS = 64;

const EVENT = /^[a-z]+(\.[a-z_]+)?$/;

/** The shard of a tenant, 0 to 63. */
export function beatShard(tenant: string): number {
  return (createHash('sha256').update(tenantId(tenant)).digest()[0] as number) >> 2;
}

/**
 * Every subject of Remit. Builders refuse what is not a tenant id or a node name; an id from outside
 * enters a subject only through `encodeSubjectToken`.
 *
 *     remit.rpc.<callee>.<method>.<tenant>.<caller>     request/reply, queue group <callee>
 *     _R.<caller>.<callee>.<instance>.<random>          replies to <caller>
 *     remit.revocation.<tenant>                         core, signed: revoked, recheck, key events
 *     remit.beat.revocation.<shard>                     core, signed, every 250 ms
 *     remit.beat.registry | remit.beat.pdp              core, signed, every 250 ms
 *     remit.registry.<tenant>.<entity>                  stream REGISTRY, signed
 *     remit.policy.<tenant>                             stream POLICY, signed
 *     remit.audit.<tenant>.<producer>.<event>           stream AUDIT
 *     remit.audit-mark.<tenant>.<producer>              core, signed: what is committed
 *     remit.checkpoint.<tenant>                         core, signed
 */
export const subjects = {
  rpc: (callee: string, method: string, tenant: string, caller: string): string =>
    `remit.rpc.${nodeName(callee)}.${nodeName(method)}.${tenantId(tenant)}.${nodeName(caller)}`,
  /** What a callee subscribes to, in the queue group of its own name. */
  rpcServed: (callee: string): string => `remit.rpc.${nodeName(callee)}.*.*.*`,
  reply: (caller: string, callee: string, instance: string, random: string): string =>
    `_R.${nodeName(caller)}.${nodeName(callee)}.${instance}.${random}`,
  replies: (caller: string, instance: string): string => `_R.${nodeName(caller)}.*.${instance}.*`,
  revocation: (tenant: string): string => `remit.revocation.${tenantId(tenant)}`,
  revocationBeat: (shard: number): string => `remit.beat.revocation.${shardNumber(shard)}`,
  registryBeat: 'remit.beat.registry',
  policyBeat: 'remit.beat.pdp',
  registry: (tenant: string, entity: RegistryEntity): string =>
    `remit.registry.${tenantId(tenant)}.${entity}`,
  policy: (tenant: string): string => `remit.policy.${tenantId(tenant)}`,
  audit: (tenant: string, producer: string, event: string): string =>
    `remit.audit.${tenantId(tenant)}.${nodeName(producer)}.${eventToken(event)}`,
  auditMark: (tenant: string, producer: string): string =>
    `remit.audit-mark.${tenantId(tenant)}.${nodeName(producer)}`,
  checkpoint: (tenant: string): string => `remit.checkpoint.${tenantId(tenant)}`,
} as const;

/** What `remit.registry.<tenant>.<entity>` may carry. */
export type RegistryEntity = 'agent' | 'client' | 'role' | 'task-type' | 'tenant' | 'tool' | 'user';

export type RpcSubject = { callee: string; method: string; tenant: string; caller: string };
export type AuditSubject = { tenant: string; producer: string; event: string };

/** Parses `remit.rpc.…`. Throws ContractError `SUBJECT_INVALID`. */
export function parseRpcSubject(subject: string): RpcSubject {
  const [remit, rpc, callee, method, tenant, caller, ...rest] = subject.split('.');
  if (
    remit !== 'remit' ||
    rpc !== 'rpc' ||
    rest.length > 0 ||
    !callee ||
    !method ||
    !tenant ||
    !caller
  ) {
    throw new ContractError('SUBJECT_INVALID', 'not an rpc subject', { subject });
  }
  return {
    callee: nodeName(callee),
    method: nodeName(method),
    tenant: tenantId(tenant),
    caller: nodeName(caller),
  };
}

/** Parses `remit.audit.…`; the event's dots are back. Throws ContractError `SUBJECT_INVALID`. */
export function parseAuditSubject(subject: string): AuditSubject {
  const [remit, audit, tenant, producer, event, ...rest] = subject.split('.');
  if (remit !== 'remit' || audit !== 'audit' || rest.length > 0 || !tenant || !producer || !event) {
    throw new ContractError('SUBJECT_INVALID', 'not an audit subject', { subject });
  }
  return {
    tenant: tenantId(tenant),
    producer: nodeName(producer),
    event: eventName(event),
  };
}

/** An event name `token.issued` as `token_issued`: its one dot becomes the first underscore. */
function eventToken(event: string): string {
  if (!EVENT.test(event)) {
    throw new ContractError('ID_INVALID', 'not an event name', { event });
  }
  return event.replace('.', '_');
}

function eventName(token: string): string {
  const event = token.replace('_', '.');
  if (!EVENT.test(event)) throw new ContractError('SUBJECT_INVALID', 'not an event', { token });
  return event;
}

function shardNumber(shard: number): number {
  if (!Number.isInteger(shard) || shard < 0 || shard >= BEAT_SHARDS) {
    throw new ContractError('ID_INVALID', 'not a beat shard', { shard });
  }
  return shard;
}
