import {
  type AuditRecord,
  auditRecord,
  commitmentsOf,
  conform,
  type Disclosures,
  disclosures,
  matches,
  opens,
  parseJsonStrict,
} from '@remit/contracts';
import { LedgerError } from './error.ts';
import { HASH_BYTES } from './hash.ts';

/**
 * An export is a text of JSON lines: a header, checkpoints, records in the order of their sequence,
 * an end. `whole` has every record from the first one on, of those that retention let go the leaf
 * hashes in runs, so that the tree can be computed again. `selection` has some records, each with the
 * proof that it is in the tree of the newest checkpoint.
 */
export type ExportHeader = {
  readonly kind: 'remit-ledger-export';
  readonly v: 1;
  readonly mode: 'selection' | 'whole';
  readonly tenant: string;
  readonly origin: string;
  /** Of the newest checkpoint. */
  readonly size: number;
};

export type ExportedRecord = {
  readonly seq: number;
  /** The exact bytes that were hashed, as text. */
  readonly bytes: string;
  readonly leaf: string;
  /** Personal values that are still kept, with their salts. */
  readonly values: Disclosures;
  /** Inclusion proof; only in a selection. */
  readonly proof?: readonly string[];
};

export type ExportLine =
  | ExportHeader
  | { readonly checkpoint: string }
  | { readonly record: ExportedRecord }
  | { readonly leaves: { readonly from: number; readonly hashes: readonly string[] } }
  | { readonly end: { readonly records: number; readonly leaves: number } };

/** Leaf hashes in one line. */
export const LEAVES_PER_LINE = 256;
/** A record is at most one message of the bus; a line holds its text once more escaped. */
const MAX_LINE_CHARS = 8 * 1024 * 1024;

/** A line of an export. Ends in a newline; holds no other. */
export function formatExportLine(line: ExportLine): string {
  return `${JSON.stringify(line)}\n`;
}

/** Reads a line, closed: what it doesn't know is refused. Throws LedgerError `EXPORT_MALFORMED`. */
export function parseExportLine(text: string): ExportLine {
  if (text.length > MAX_LINE_CHARS) throw malformed('a line is too long');
  let line: Record<string, unknown>;
  try {
    line = parseJsonStrict(text) as Record<string, unknown>;
  } catch {
    throw malformed('a line is not JSON');
  }
  if (typeof line !== 'object' || line === null) throw malformed('a line is not an object');
  const [only, ...others] = Object.keys(line);
  if (line['kind'] !== undefined) return headerOf(line);
  if (others.length === 0) {
    const value = line[only ?? ''] as never;
    if (only === 'checkpoint' && typeof value === 'string') return { checkpoint: value };
    if (only === 'record') return { record: recordOf(value) };
    if (only === 'leaves') return { leaves: leavesOf(value) };
    if (only === 'end') return { end: value };
  }
  throw malformed('a line is of no known kind');
}

/**
 * The record that exported bytes are. Checks the schema, the tenant, and that each value opens its
 * commitment. Throws LedgerError `EXPORT_MALFORMED`, which never holds a value.
 */
export function readExportedRecord(
  tenant: string,
  bytes: Uint8Array,
  values: Disclosures,
): AuditRecord {
  let record: AuditRecord;
  try {
    record = conform(auditRecord, parseJsonStrict(Buffer.from(bytes).toString('utf8')));
  } catch {
    throw malformed('the bytes are no record');
  }
  if (record.tenant !== tenant) throw malformed('the record is of another tenant');
  const targets = commitmentsOf(record);
  for (const [pointer, value] of Object.entries(values)) {
    const target = targets.get(pointer);
    if (target === undefined || !opens(target, value)) {
      throw malformed('a disclosed value does not open its commitment');
    }
  }
  return record;
}

/** A SHA-256 as base64. Throws LedgerError `EXPORT_MALFORMED`. */
export function hashOf(text: unknown): Buffer {
  const hash = Buffer.from(typeof text === 'string' ? text : '', 'base64');
  if (hash.length !== HASH_BYTES || hash.toString('base64') !== text) {
    throw malformed('a hash is 32 bytes of base64');
  }
  return hash;
}

function headerOf(line: Record<string, unknown>): ExportHeader {
  const { kind, v, mode, tenant, origin, size, ...others } = line;
  if (
    kind !== 'remit-ledger-export' ||
    v !== 1 ||
    (mode !== 'selection' && mode !== 'whole') ||
    typeof tenant !== 'string' ||
    typeof origin !== 'string' ||
    !Number.isSafeInteger(size) ||
    Object.keys(others).length > 0
  ) {
    throw malformed('the header is not one of this version');
  }
  return { kind, v, mode, tenant, origin, size: size as number };
}

function recordOf(value: Record<string, unknown>): ExportedRecord {
  const { seq, bytes, leaf, values, proof, ...others } = value ?? {};
  if (
    !Number.isSafeInteger(seq) ||
    typeof bytes !== 'string' ||
    typeof leaf !== 'string' ||
    !matches(disclosures, values) ||
    (proof !== undefined && !isTexts(proof)) ||
    Object.keys(others).length > 0
  ) {
    throw malformed('a record is not one of this version');
  }
  return { seq: seq as number, bytes, leaf, values, ...(proof === undefined ? {} : { proof }) };
}

function leavesOf(value: Record<string, unknown>): { from: number; hashes: readonly string[] } {
  const { from, hashes, ...others } = value ?? {};
  if (!Number.isSafeInteger(from) || !isTexts(hashes) || Object.keys(others).length > 0) {
    throw malformed('leaves are not those of this version');
  }
  return { from: from as number, hashes };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

export function malformed(message: string): LedgerError {
  return new LedgerError('EXPORT_MALFORMED', message);
}
