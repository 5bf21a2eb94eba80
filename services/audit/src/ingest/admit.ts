import {
  type AuditMessage,
  type AuditRecord,
  type AuditSubject,
  auditMessage,
  canonicalText,
  cloudEvent,
  commitmentsOf,
  type Disclosures,
  matches,
  opens,
  parseAuditSubject,
  parseJsonStrict,
  recordText,
} from '@remit/contracts';
import { leafHash } from '@remit/ledger';

/** Why a message is no record of its sender. `STORE_REFUSED`: PostgreSQL can't hold it. */
export type QuarantineReason =
  | 'CONTENT_MISMATCH'
  | 'DISCLOSURE_MISMATCH'
  | 'ID_INVALID'
  | 'NOT_CANONICAL'
  | 'NOT_JSON'
  | 'PRODUCER_MISMATCH'
  | 'SCHEMA_MISMATCH'
  | 'STORE_REFUSED'
  | 'SUBJECT_INVALID'
  | 'TENANT_MISMATCH'
  | 'TIME_INVALID';

/** A message as the stream gives it. */
export type RawMessage = { readonly subject: string; readonly data: Uint8Array };

export type OpenValue = {
  readonly pointer: string;
  readonly salt: string;
  /** Canonical JSON; null when the tenant's policy keeps the salt alone. */
  readonly value: string | null;
};

/** A record that may enter the ledger: its bytes are what is hashed and kept. */
export type Admitted = {
  readonly tenant: string;
  readonly producer: string;
  readonly record: AuditRecord;
  readonly bytes: Buffer;
  readonly leafHash: Buffer;
  readonly disclosures: readonly OpenValue[];
  readonly message: RawMessage;
};

/** A message for the quarantine. `number` is set when the sender may forget it: it is kept here. */
export type Refused = {
  readonly tenant: string | undefined;
  readonly reason: QuarantineReason;
  readonly message: RawMessage;
  readonly number?: { readonly producer: string; readonly boot: string; readonly n: number };
};

const envelope = cloudEvent(auditMessage);
/** RFC 3339 in UTC, as producers write it: the derived column must not depend on a time zone. */
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/;
/** Ids become keys of tables and parts of URLs. */
const ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Longer principals would not fit the index that finds them. */
const MAX_PRINCIPAL_CHARS = 512;

/**
 * Reads one message of the stream. Checks the closed schema, that tenant, producer and event of the
 * record are those of the subject (which the bus binds to the sender), that the record has one
 * canonical form, and that each disclosed value opens the commitment at its place.
 * Does not check who signed: records are not signed, the sender's right to its subject is the proof.
 */
export function admit(message: RawMessage): Admitted | Refused {
  let subject: AuditSubject;
  try {
    subject = parseAuditSubject(message.subject);
  } catch {
    return { tenant: undefined, reason: 'SUBJECT_INVALID', message };
  }
  const { tenant, producer, event } = subject;
  const refuse = (reason: QuarantineReason): Refused => ({ tenant, reason, message });

  let parsed: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(message.data);
    parsed = parseJsonStrict(text);
  } catch {
    return refuse('NOT_JSON');
  }
  if (!matches(envelope, parsed)) return refuse('SCHEMA_MISMATCH');
  const data: AuditMessage = parsed.data;
  const { record } = data;
  if (record.tenant !== tenant) return refuse('TENANT_MISMATCH');
  if (record.producer.service !== producer) return refuse('PRODUCER_MISMATCH');

  if (!ID.test(record.id) || !ID.test(record.producer.boot)) return refuse('ID_INVALID');

  // From here on it is the sender's own: kept in quarantine, its number is accounted for.
  const { boot, n } = record.producer;
  const refuseOwn = (reason: QuarantineReason): Refused => ({
    ...refuse(reason),
    number: { producer, boot, n },
  });
  if (record.event !== event || parsed.id !== record.id) return refuseOwn('CONTENT_MISMATCH');
  if (!TIME.test(record.time) || Number.isNaN(Date.parse(record.time))) {
    return refuseOwn('TIME_INVALID');
  }
  let bytes: Buffer;
  try {
    bytes = Buffer.from(recordText(record), 'utf8');
  } catch {
    return refuseOwn('NOT_CANONICAL');
  }
  const opened = openAll(record, data.disclosures);
  if (opened === undefined) return refuseOwn('DISCLOSURE_MISMATCH');
  const hash = leafHash(bytes);
  return { tenant, producer, record, bytes, leafHash: hash, disclosures: opened, message };
}

/** Whether {@link admit} refused. */
export function isRefused(outcome: Admitted | Refused): outcome is Refused {
  return 'reason' in outcome;
}

function openAll(record: AuditRecord, disclosures: Disclosures): OpenValue[] | undefined {
  const targets = commitmentsOf(record);
  const opened: OpenValue[] = [];
  for (const [pointer, disclosed] of Object.entries(disclosures)) {
    const target = targets.get(pointer);
    if (target === undefined || !opens(target, disclosed)) return undefined;
    if (pointer === '/principal' && !isPrincipal(disclosed.value)) return undefined;
    const value = canonicalText(disclosed.value);
    opened.push({ pointer, salt: disclosed.salt, value });
  }
  return opened;
}

function isPrincipal(value: unknown): boolean {
  return typeof value === 'string' && value.length <= MAX_PRINCIPAL_CHARS;
}
