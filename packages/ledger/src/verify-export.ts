import type { AuditRecord } from '@remit/contracts';
import { verifyInclusion } from './check-proof.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { LedgerError } from './error.ts';
import {
  type ExportedRecord,
  type ExportHeader,
  type ExportLine,
  hashOf,
  malformed,
  parseExportLine,
  readExportedRecord,
} from './export.ts';
import type { Fault } from './fault.ts';
import { leafHash, sameHash } from './hash.ts';
import { type NoteVerifier, openNote } from './note.ts';
import { type KeptCheckpoint, type LedgerRow, verifyLedger } from './verify.ts';

export type ExportReport = {
  readonly ok: boolean;
  readonly mode: ExportHeader['mode'];
  readonly tenant: string;
  readonly origin: string;
  /** Of the tree that the export was compared with. */
  readonly size: number;
  /** The largest size whose root a signed checkpoint confirms. */
  readonly confirmed: number;
  readonly records: number;
  /** Records of which retention left only the hash. */
  readonly dropped: number;
  /** Who of the given verifiers signed the newest checkpoint. */
  readonly signedBy: readonly NoteVerifier[];
  /** The lowest sequence first. */
  readonly faults: readonly Fault[];
};

export type VerifyExportInput = {
  /** The lines of the file, without their newlines, read one at a time. */
  readonly lines: AsyncIterable<string> | Iterable<string>;
  /** The log whose export it must be. */
  readonly origin: string;
  readonly verifiers: readonly NoteVerifier[];
  /** Groups of verifiers, one of each of which must have signed the newest checkpoint. */
  readonly required?: readonly (readonly NoteVerifier[])[];
  /** Checkpoints that the reader has from elsewhere: a witness, an archive, an earlier export. */
  readonly outside?: readonly string[];
};

/**
 * Verifies an export with nothing but the log's keys: needs neither the service nor its database. A
 * whole export is compared as `verifyLedger` does; of a selection every record is proven to be in the
 * tree that the newest checkpoint signs, which says nothing about the records that were left out.
 * Without a checkpoint from elsewhere it can't tell that the log shows others another history, or an
 * older end. Holds one record at a time. Throws LedgerError `EXPORT_MALFORMED` when there is no
 * header; every other damage is a fault.
 */
export async function verifyExport(input: VerifyExportInput): Promise<ExportReport> {
  const reader = readLines(input.lines);
  const header = await readHeader(reader);
  const faults: Fault[] = [];
  if (header.origin !== input.origin) {
    faults.push(whole('checkpoint', `the export is of another log: ${header.origin}`));
  }
  const { notes, first } = await readCheckpoints(reader);
  const checkpoints: KeptCheckpoint[] = [
    ...notes.map((note) => ({ note, where: 'inside' as const })),
    ...(input.outside ?? []).map((note) => ({ note, where: 'outside' as const })),
  ];
  const { newest, signedBy } = readNewest(notes, header, input, faults);
  const body = readBody(first, reader, header, faults);
  const counted =
    header.mode === 'whole'
      ? await verifyWhole(body, header, checkpoints, input)
      : await verifySelection(body, header, newest);
  const all = [...faults, ...counted.faults].toSorted((a, b) => a.seq - b.seq);
  return {
    ok: all.length === 0,
    mode: header.mode,
    tenant: header.tenant,
    origin: header.origin,
    ...counted,
    signedBy,
    faults: all,
  };
}

type Counted = Pick<ExportReport, 'confirmed' | 'dropped' | 'faults' | 'records' | 'size'>;
type Item = { record: ExportedRecord } | { leaf: string; seq: number };

async function verifyWhole(
  body: AsyncIterable<Item>,
  { tenant }: ExportHeader,
  checkpoints: readonly KeptCheckpoint[],
  { origin, verifiers }: VerifyExportInput,
): Promise<Counted> {
  let records = 0;
  let droppedUpTo = 0;
  const wrong = new Map<number, string>();

  async function* rows(): AsyncGenerator<LedgerRow> {
    for await (const item of body) {
      if ('leaf' in item) {
        yield { seq: item.seq, bytes: undefined, leafHash: hashOf(item.leaf) };
        continue;
      }
      const { seq, leaf, values } = item.record;
      const bytes = Buffer.from(item.record.bytes, 'utf8');
      records++;
      try {
        droppedUpTo = Math.max(droppedUpTo, retainedTo(readExportedRecord(tenant, bytes, values)));
      } catch (error) {
        wrong.set(seq, messageOf(error));
      }
      yield { seq, bytes, leafHash: hashOf(leaf) };
      wrong.delete(seq);
    }
  }

  const report = await verifyLedger({
    records: rows(),
    checkpoints,
    origin,
    verifiers,
    inspect: ({ seq }) => wrong.get(seq),
    droppedUpTo: () => droppedUpTo,
  });
  const { size, confirmed, dropped, faults } = report;
  const unsigned =
    confirmed < size && faults.length === 0
      ? [whole('checkpoint', 'no signed checkpoint confirms the last records', confirmed + 1, size)]
      : [];
  return { size, confirmed, dropped, records, faults: [...faults, ...unsigned] };
}

async function verifySelection(
  body: AsyncIterable<Item>,
  header: ExportHeader,
  newest: Checkpoint | undefined,
): Promise<Counted> {
  if (newest === undefined) return { size: 0, confirmed: 0, dropped: 0, records: 0, faults: [] };
  const { size, root } = newest;
  const faults: Fault[] = [];
  let records = 0;
  let before = 0;
  for await (const item of body) {
    if ('leaf' in item) throw malformed('a selection has no leaves');
    const { seq, bytes: text, leaf, values, proof = [] } = item.record;
    const bytes = Buffer.from(text, 'utf8');
    const fault = (kind: Fault['kind'], detail: string): void => {
      faults.push({ seq, upTo: seq, kind, detail });
    };
    records++;
    if (seq <= before) fault('reorder', 'a sequence appears out of its order');
    before = seq;
    const hash = hashOf(leaf);
    const included = verifyInclusion({
      leaf: hash,
      index: seq - 1,
      size,
      root,
      proof: proof.map(hashOf),
    });
    if (!sameHash(leafHash(bytes), hash)) {
      fault('edit', 'the bytes are not those that were hashed');
    } else if (!included) {
      fault('insert', 'the record is not at this place of the signed tree');
    } else {
      try {
        readExportedRecord(header.tenant, bytes, values);
      } catch (error) {
        fault('edit', messageOf(error));
      }
    }
  }
  return { size, confirmed: size, dropped: 0, records, faults };
}

/**
 * Up to which sequence a record says that retention let others go: only the audit service's own word
 * counts, and it is in the tree itself.
 */
export function retainedTo({ event, producer, detail }: AuditRecord): number {
  if (event !== 'admin.retention' || producer.service !== 'audit') return 0;
  const upTo = detail?.['up_to'];
  return typeof upTo === 'number' && Number.isSafeInteger(upTo) ? upTo : 0;
}

/** The first checkpoint is the newest one; everybody who must have signed it did. */
function readNewest(
  [note]: readonly string[],
  { size }: ExportHeader,
  { verifiers, origin, required = [] }: VerifyExportInput,
  faults: Fault[],
): { newest?: Checkpoint; signedBy: readonly NoteVerifier[] } {
  const fail = (detail: string): void => void faults.push(whole('checkpoint', detail));
  if (note === undefined) {
    fail('the export has no checkpoint');
    return { signedBy: [] };
  }
  try {
    const newest = openCheckpoint(note, { origin, verifiers });
    const { signedBy } = openNote(note, verifiers);
    if (newest.size !== size) fail('the first checkpoint is not of the size in the header');
    for (const group of required) {
      if (group.some((one) => signedBy.includes(one))) continue;
      fail(
        `the newest checkpoint lacks a signature of ${group.map(({ name }) => name).join(', ')}`,
      );
    }
    return { newest, signedBy };
  } catch (error) {
    fail(`the newest checkpoint fails: ${messageOf(error)}`);
    return { signedBy: [] };
  }
}

async function* readLines(
  lines: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<ExportLine, undefined> {
  for await (const line of lines) if (line !== '') yield parseExportLine(line);
  return undefined;
}

async function readHeader(reader: AsyncGenerator<ExportLine>): Promise<ExportHeader> {
  const { value } = await reader.next();
  if (value === undefined || !('kind' in value)) throw malformed('the file has no header');
  return value;
}

async function readCheckpoints(
  reader: AsyncGenerator<ExportLine>,
): Promise<{ notes: string[]; first: ExportLine | undefined }> {
  const notes: string[] = [];
  for (;;) {
    const { value } = (await reader.next()) as { value: ExportLine | undefined };
    if (value === undefined || !('checkpoint' in value)) return { notes, first: value };
    notes.push(value.checkpoint);
  }
}

/** Records and leaves in their order; what damages the file itself is a fault. */
async function* readBody(
  first: ExportLine | undefined,
  reader: AsyncGenerator<ExportLine>,
  { size }: ExportHeader,
  faults: Fault[],
): AsyncGenerator<Item> {
  let records = 0;
  let leaves = 0;
  let last = 0;
  const cut = (detail: string): void => {
    faults.push({ seq: last + 1, upTo: Math.max(size, last + 1), kind: 'truncation', detail });
  };
  try {
    for (let line = first; ; line = (await reader.next()).value) {
      if (line === undefined) return cut('the file ends before its last line');
      if ('end' in line) {
        if (line.end?.records !== records || line.end.leaves !== leaves) {
          cut('the file does not hold what its last line counts');
        }
        return;
      }
      if ('record' in line) {
        records++;
        last = line.record.seq;
        yield { record: line.record };
      } else if ('leaves' in line) {
        for (const [i, leaf] of line.leaves.hashes.entries()) {
          leaves++;
          last = line.leaves.from + i;
          yield { leaf, seq: last };
        }
      } else {
        throw malformed('a line stands where it does not belong');
      }
    }
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    const detail = `the file is damaged: ${error.message}`;
    faults.push({ seq: last + 1, upTo: last + 1, kind: 'edit', detail });
  }
}

function whole(kind: Fault['kind'], detail: string, seq = 0, upTo = 0): Fault {
  return { seq, upTo, kind, detail };
}

function messageOf(error: unknown): string {
  if (error instanceof LedgerError) return error.message;
  throw error;
}
