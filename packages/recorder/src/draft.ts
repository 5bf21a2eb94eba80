import {
  type AuditMessage,
  type AuditRecord,
  auditRecord,
  canonicalText,
  commit,
  conform,
  type Disclosures,
  makeCloudEvent,
} from '@remit/contracts';
import { RecorderError } from './error.ts';
import type { RecordInput, Trust } from './record-input.ts';
import { scrub } from './scrub.ts';

const ID = /^[A-Za-z0-9_-]{1,64}$/;
/** The ledger parses 32 levels; a value starts on the fifth, and leaves some to the envelope. */
const MAX_VALUE_DEPTH = 26;
/** NATS carries 1 MiB with the envelope, the number and the headers. */
const MAX_MESSAGE_BYTES = 900_000;
/** Below this no record comes near it, so that the common case is measured once. */
const SURELY_FITS = 100_000;

/** Who writes: the same for every record of one start. */
export type Producer = { service: string; instance: string; version: string; boot: string };

/** A record without its number, which it gets when it is written. */
export type Draft = {
  readonly id: string;
  readonly tenant: string;
  readonly event: string;
  readonly trust: Trust;
  readonly message: AuditMessage;
};

export type DraftContext = {
  producer: Producer;
  nowMs: number;
  newId: () => string;
  /** 16 fresh random bytes as base64url. */
  /** By how much this clock leads the ledger's, as far as is known. */
  clockOffsetMs?: number | undefined;
  newSalt: () => string;
  onRemoved: () => void;
};

/**
 * Turns an input into a record with commitments and the disclosures beside it. Checks it against the
 * closed schema. Throws RecorderError `RECORD_INVALID`, which names the place and never the value.
 */
export function draftRecord(tenant: string, given: RecordInput, context: DraftContext): Draft {
  const { trust = 'verified', ...rest } = given;
  const input = scrub(rest, context.onRemoved);
  const { id = context.newId(), principal, source, task, operation, ...plain } = input;
  if (!ID.test(id)) throw new RecorderError('RECORD_INVALID', 'id is not a record id');
  const disclosures: Disclosures = {};
  const hide = (pointer: string, value: unknown): { c: string } => {
    if (isDeeper(value, MAX_VALUE_DEPTH)) throw new Error('a value is nested too deep');
    const salt = context.newSalt();
    disclosures[pointer] = { salt, value };
    return commit(salt, value);
  };
  try {
    const record = conform(auditRecord, {
      ...plain,
      v: 1,
      id,
      time: microseconds(context.nowMs),
      tenant,
      producer: { ...context.producer, n: 1 },
      ...(context.clockOffsetMs === undefined ? {} : { clock_offset_ms: context.clockOffsetMs }),
      ...(principal === undefined ? {} : { principal: hide('/principal', principal) }),
      ...(source === undefined ? {} : { source: hide('/source', source) }),
      ...(task === undefined ? {} : { task: hideTask(task, hide) }),
      ...(operation === undefined ? {} : { operation: hideOperation(operation, hide) }),
    });
    const message = { record, disclosures };
    // What no server would carry or no ledger read would hold up every record after it.
    if (JSON.stringify(disclosures).length > SURELY_FITS) {
      const bytes = Buffer.byteLength(canonicalText(message));
      if (bytes > MAX_MESSAGE_BYTES) throw new Error('its values are too large');
    }
    return { id, tenant, event: record.event, trust, message };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'not a record';
    throw new RecorderError('RECORD_INVALID', `not an audit record: ${reason}`, { cause });
  }
}

/** The canonical CloudEvent of a draft under its number: what is spooled and published. */
export function encodeDraft(draft: Draft, n: number, producerName: string): string {
  const { record, disclosures } = draft.message;
  const numbered: AuditRecord = { ...record, producer: { ...record.producer, n } };
  return canonicalText(
    makeCloudEvent(
      `audit.${draft.event}`,
      { id: draft.id, source: `urn:remit:${producerName}`, time: record.time },
      { record: numbered, disclosures },
    ),
  );
}

type Hide = (pointer: string, value: unknown) => { c: string };

function hideTask(task: NonNullable<RecordInput['task']>, hide: Hide): unknown {
  const { purpose, ...plain } = task;
  return purpose === undefined ? plain : { ...plain, purpose: hide('/task/purpose', purpose) };
}

function hideOperation(operation: NonNullable<RecordInput['operation']>, hide: Hide): unknown {
  const { args, ...plain } = operation;
  if (args === undefined) return plain;
  const hidden = Object.entries(args).map(([name, value]) => [
    name,
    hide(`/operation/args/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, value),
  ]);
  return { ...plain, args: Object.fromEntries(hidden) };
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((below) => isDeeper(below, depth - 1));
}

/** RFC 3339 with microseconds. */
function microseconds(epochMs: number): string {
  const wholeMs = Math.floor(epochMs);
  const micros = String(Math.floor((epochMs - wholeMs) * 1_000)).padStart(3, '0');
  return `${new Date(wholeMs).toISOString().slice(0, -1)}${micros}Z`;
}
