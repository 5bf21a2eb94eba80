import { nodeName, tenantId } from './ids.ts';

/** Stands for every value of one token of a subject. */
export const ANY = '*';

/**
 * Subjects with wildcards, as permissions and subscriptions need them. Where a builder of `subjects`
 * takes a tenant or a name, these take {@link ANY} too.
 */
export const patterns = {
  rpc: (callee: string, method: string, tenant: string, caller: string): string =>
    `remit.rpc.${name(callee)}.${name(method)}.${tenantOrAny(tenant)}.${name(caller)}`,
  revocation: (tenant: string): string => `remit.revocation.${tenantOrAny(tenant)}`,
  revocationBeats: 'remit.beat.revocation.*',
  registry: (tenant: string): string => `remit.registry.${tenantOrAny(tenant)}.*`,
  policy: (tenant: string): string => `remit.policy.${tenantOrAny(tenant)}`,
  audit: (tenant: string, producer: string): string =>
    `remit.audit.${tenantOrAny(tenant)}.${name(producer)}.*`,
  auditMark: (tenant: string, producer: string): string =>
    `remit.audit-mark.${tenantOrAny(tenant)}.${name(producer)}`,
  checkpoint: (tenant: string): string => `remit.checkpoint.${tenantOrAny(tenant)}`,
  /** Everything that is a reply to `caller`. */
  repliesTo: (caller: string): string => `_R.${nodeName(caller)}.>`,
  /** Everything that `callee` may answer inside its own account. */
  repliesOf: (callee: string): string => `_R.*.${nodeName(callee)}.>`,
  /** The server's own subjects for answers into another account. */
  repliesAcrossAccounts: '_R_.>',
  inbox: (user: string): string => `${inboxPrefix(user)}.>`,
  /** Discovery of services (NATS micro convention), as `service` listens for it. */
  discovery: (service: string): string[] =>
    DISCOVERY_VERBS.flatMap((verb) => [
      `$SRV.${verb}`,
      `$SRV.${verb}.${nodeName(service)}`,
      `$SRV.${verb}.${nodeName(service)}.*`,
    ]),
  /** Discovery of services, as one asks for it. */
  discoveryRequests: ['$SRV.PING', '$SRV.INFO', '$SRV.STATS'].flatMap((subject) => [
    subject,
    `${subject}.>`,
  ]),
} as const;

const DISCOVERY_VERBS = ['PING', 'INFO', 'STATS'] as const;

/** The inbox prefix of a user's connection: nobody else may read below it. */
export function inboxPrefix(user: string): string {
  return `_INBOX_${nodeName(user)}`;
}

/** Prefix under which a SIEM's account sees the JetStream API of the services' account. */
export const SIEM_API_PREFIX = 'JS.remit.API';

/** Subjects of the JetStream API (2.10 and later) that permissions name. */
export const jetStreamApi = {
  /** What the owner of a stream needs to declare it and to read it back. */
  ownStream: (stream: string): string[] =>
    ['CREATE', 'UPDATE', 'INFO'].map((verb) => `$JS.API.STREAM.${verb}.${stream}`),
  /** Declaring a durable consumer, with or without filters, and reading it back. */
  declareDurable: (stream: string, durable: string): string[] => [
    `$JS.API.CONSUMER.CREATE.${stream}.${durable}`,
    `$JS.API.CONSUMER.CREATE.${stream}.${durable}.>`,
    `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.${durable}`,
    `$JS.API.CONSUMER.INFO.${stream}.${durable}`,
  ],
  consumerInfo: (stream: string, durable: string): string =>
    `$JS.API.CONSUMER.INFO.${stream}.${durable}`,
  nextMessages: (stream: string, durable: string): string =>
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`,
  acknowledgements: (stream: string, durable: string): string => `$JS.ACK.${stream}.${durable}.>`,
  /** The same API subject below another prefix. */
  below: (prefix: string, subject: string): string => subject.replace('$JS.API', prefix),
} as const;

function name(value: string): string {
  return value === ANY ? ANY : nodeName(value);
}

function tenantOrAny(value: string): string {
  return value === ANY ? ANY : tenantId(value);
}
