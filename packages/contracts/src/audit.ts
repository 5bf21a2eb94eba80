import { createHash } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { canonicalBytes, canonicalText } from './canonical.ts';
import { dimensions, missJson } from './decision.ts';
import { obligations } from './obligations.ts';
import { permissionsJson } from './registry.ts';
import { revSchema } from './revocation.ts';
import { closed, count, oneOf, text } from './schema.ts';

/** What a record is about; the last token of its subject, with `.` as `_`. */
export const AUDIT_EVENTS = [
  'decision',
  'token.issued',
  'token.delegated',
  'token.refused',
  'token.revoked',
  'token.consumed',
  'call.finished',
  'policy.uploaded',
  'policy.activated',
  'policy.shadowed',
  'agent.registered',
  'admin.registry_loaded',
  'admin.registry_changed',
  'admin.query',
  'admin.refused',
  'admin.hold_placed',
  'admin.hold_released',
  'admin.erasure',
  'admin.retention',
] as const;
export type AuditEvent = (typeof AUDIT_EVENTS)[number];

/**
 * A salted commitment to a personal value: base64url SHA-256 of 16 fresh salt bytes and the value's
 * canonical JSON. What is hashed into the ledger holds only this; the value and its salt travel
 * beside the record and can be erased without touching the tree.
 */
export const commitment = closed({ c: text(43) });
export type Commitment = Static<typeof commitment>;

export const producerSchema = closed({
  service: text(63),
  instance: text(64),
  version: text(32),
  /** New at every start of the producer. */
  boot: text(64),
  /** Counts the records of this producer, boot and tenant from 1, without gaps. */
  n: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
});

const detailValue = Type.Union([Type.String({ maxLength: 2_048 }), Type.Number(), Type.Boolean()]);

/** One line of the ledger: what is canonicalised (RFC 8785) and hashed. */
export const auditRecord = closed({
  v: Type.Literal(1),
  id: text(64),
  /** RFC 3339 with microseconds. */
  time: text(40),
  tenant: text(31),
  producer: producerSchema,
  /** Milliseconds by which the producer's clock leads the ledger's, as its last commit mark said. */
  clock_offset_ms: Type.Optional(Type.Integer()),
  event: oneOf(...AUDIT_EVENTS),
  decision: Type.Optional(oneOf('allow', 'deny')),
  reason: Type.Optional(text(64)),
  principal: Type.Optional(commitment),
  actor: Type.Optional(text()),
  /** Origin first, current actor last. */
  act_chain: Type.Optional(Type.Array(text(), { maxItems: 16 })),
  /** Offline hops, oldest first: the link, and the agent that acts with the key that it names. */
  links: Type.Optional(
    Type.Array(closed({ id: text(64), actor: text(), jkt: text(64) }), { maxItems: 8 }),
  ),
  origin_agent: Type.Optional(text()),
  client: Type.Optional(text()),
  task: Type.Optional(
    closed({ id: text(64), type: text(128), purpose: Type.Optional(commitment) }),
  ),
  operation: Type.Optional(
    closed({
      action: text(),
      resource: text(),
      args: Type.Optional(Type.Record(Type.String(), commitment)),
    }),
  ),
  audience: Type.Optional(text(2_048)),
  scope: Type.Optional(permissionsJson),
  miss: Type.Optional(missJson),
  dimensions: Type.Optional(dimensions),
  policies: Type.Optional(Type.Array(text(128), { maxItems: 64 })),
  obligations: Type.Optional(obligations),
  policy_version: Type.Optional(text(128)),
  registry_revision: Type.Optional(count),
  token: Type.Optional(
    closed({
      jti: text(64),
      lineage: Type.Array(text(64), { maxItems: 64 }),
      exp: count,
      jkt: Type.Optional(text(128)),
      alg: Type.Optional(text(32)),
      kid: Type.Optional(text(128)),
      rev: revSchema,
    }),
  ),
  feed: Type.Optional(revSchema),
  approval: Type.Optional(text(64)),
  latency_us: Type.Optional(count),
  trace_id: Type.Optional(text(64)),
  /** The decision that this record belongs to. */
  decision_id: Type.Optional(text(64)),
  /** Where strangers' junk came from (an address, say), when it is counted instead of listed. */
  source: Type.Optional(commitment),
  /** How many like events this record stands for, when junk is counted instead of listed. */
  count: Type.Optional(count),
  /** Facts of the event that are neither personal nor secret. */
  detail: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), detailValue)),
});
export type AuditRecord = Static<typeof auditRecord>;

/**
 * The personal values of a record by JSON pointer: `/principal`, `/source`, `/task/purpose`,
 * `/operation/args/amount`.
 */
export const disclosures = Type.Record(
  Type.String({ maxLength: 1_024 }),
  closed({ salt: text(32), value: Type.Unknown() }),
);
export type Disclosures = Static<typeof disclosures>;

/** The data of the CloudEvent on `remit.audit.…`: a public contract for SIEMs. */
export const auditMessage = closed({ record: auditRecord, disclosures });
export type AuditMessage = Static<typeof auditMessage>;

/** The commit mark of one producer and tenant: per boot, everything up to `n` is committed. */
export const auditMark = closed({
  tenant: text(31),
  producer: text(63),
  time: count,
  marks: Type.Array(closed({ boot: text(64), n: count }), { minItems: 1, maxItems: 64 }),
});
export type AuditMark = Static<typeof auditMark>;

/** A signed checkpoint on its way to witnesses and archives: a C2SP note, which is signed itself. */
export const checkpointMessage = closed({ tenant: text(31), time: count, note: text(65_536) });
export type CheckpointMessage = Static<typeof checkpointMessage>;

/** Commits to a value under a salt of 16 bytes (base64url). */
export function commit(salt: string, value: unknown): Commitment {
  const hash = createHash('sha256')
    .update(Buffer.from(salt, 'base64url'))
    .update(canonicalBytes(value));
  return { c: hash.digest('base64url') };
}

/** Whether a disclosed value is the one that was committed to. */
export function opens(target: Commitment, disclosed: { salt: string; value: unknown }): boolean {
  return commit(disclosed.salt, disclosed.value).c === target.c;
}

/** The bytes that the ledger hashes for a record. */
export function recordText(record: AuditRecord): string {
  return canonicalText(record);
}

/** Every commitment of a record by its JSON pointer (RFC 6901). */
export function commitmentsOf(record: AuditRecord): Map<string, Commitment> {
  const found = new Map<string, Commitment>();
  if (record.principal) found.set('/principal', record.principal);
  if (record.source) found.set('/source', record.source);
  if (record.task?.purpose) found.set('/task/purpose', record.task.purpose);
  for (const [name, value] of Object.entries(record.operation?.args ?? {})) {
    found.set(`/operation/args/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, value);
  }
  return found;
}
