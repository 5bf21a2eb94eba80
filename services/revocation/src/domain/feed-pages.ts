import type { RevocationEntry, SinceResponse, SnapshotResponse } from '@remit/contracts';
import { wireError } from '@remit/service-kit';
import type { Point } from '../store/point.ts';
import { readPoint } from '../store/point.ts';
import { entriesAfter, PAGE_ROWS, toEntry } from '../store/revocations.ts';
import type { Trx } from '../store/tables.ts';
import { CLOCK_SKEW_SECONDS } from './lifetimes.ts';

/** JSON of one page at most; base64url and the signature make half a megabyte of it. */
const PAGE_BYTES = 360_000;

const CURSOR = /^(\d{1,16})\.(\d{1,16})$/;

/**
 * Everything after a sequence, oldest first and without a gap, up to one page. Asked about another
 * epoch it answers with the present one and nothing else, so that the asker begins anew; asked about
 * what is forgotten, with how far that goes.
 */
export async function since(
  trx: Trx,
  tenant: string,
  asked: { epoch: string; after: number },
): Promise<SinceResponse> {
  const point = await readPoint(trx, tenant);
  const { epoch, seq: head } = point;
  if (asked.epoch !== epoch || asked.after >= head) {
    return { epoch, head, entries: [], more: false };
  }
  if (asked.after < point.floor) {
    return { epoch, head, entries: [], more: false, floor: point.floor };
  }
  const { entries, last } = await page(trx, tenant, point, { after: asked.after, upTo: head });
  return { epoch, head, entries, more: last !== undefined && last < head };
}

/**
 * One page of everything that can still hit a token. The first page fixes the head that all pages
 * reach together; the cursor carries it. Throws `INVALID_REQUEST` for a cursor that is none of ours.
 */
export async function snapshot(
  trx: Trx,
  tenant: string,
  asked: { nonce: string; cursor?: string },
): Promise<SnapshotResponse> {
  const point = await readPoint(trx, tenant);
  const { upTo, after } = readCursor(asked.cursor, point);
  const aliveAt = Math.floor(point.timeMs / 1_000) - CLOCK_SKEW_SECONDS;
  const { entries, last } = await page(trx, tenant, point, { after, upTo, aliveAt });
  return {
    nonce: asked.nonce,
    epoch: point.epoch,
    seq: upTo,
    tag: point.tag,
    entries,
    ...(last === undefined ? {} : { next: `${upTo}.${last}` }),
  };
}

/** Entries of one page, and where the next one begins when there may be one. */
async function page(
  trx: Trx,
  tenant: string,
  point: Point,
  range: { after: number; upTo: number; aliveAt?: number },
): Promise<{ entries: RevocationEntry[]; last: number | undefined }> {
  const rows = await entriesAfter(trx, tenant, range);
  const entries: RevocationEntry[] = [];
  let bytes = 0;
  for (const row of rows) {
    const entry = toEntry(row, point.epoch);
    bytes += Buffer.byteLength(JSON.stringify(entry)) + 1;
    if (bytes > PAGE_BYTES) return { entries, last: entries.at(-1)?.seq };
    entries.push(entry);
  }
  return { entries, last: rows.length < PAGE_ROWS ? undefined : entries.at(-1)?.seq };
}

function readCursor(cursor: string | undefined, { seq }: Point): { upTo: number; after: number } {
  if (cursor === undefined) return { upTo: seq, after: 0 };
  const match = CURSOR.exec(cursor);
  const upTo = Number(match?.[1]);
  const after = Number(match?.[2]);
  if (!match || upTo > seq || after > upTo) throw wireError('INVALID_REQUEST');
  return { upTo, after };
}
