import { type Disclosures } from '@remit/contracts';
import { type ExportedRecord, type HashReader, inclusionProof } from '@remit/ledger';
import { sql, type Transaction } from 'kysely';
import { findRecords, type RecordQuery, type StoredRecord } from './read.ts';
import type { AuditTables } from './tables.ts';
import { hashReader } from './tree.ts';

type Trx = Transaction<AuditTables>;

/** A record on its way out, or the leaf hash of one that retention let go. */
export type Outgoing =
  | { readonly seq: number; readonly bytes: Buffer; readonly leaf: Buffer; values: Disclosures }
  | { readonly seq: number; readonly leaf: Buffer };

/** The next part of a whole ledger after a sequence, in its order; empty at the end. */
export async function nextPart(
  trx: Trx,
  tenant: string,
  after: number,
  upTo: number,
  limit: number,
): Promise<Outgoing[]> {
  const { rows } = await sql<{ seq: number; leaf_hash: Buffer; bytes: Buffer | null }>`
    select seq, leaf_hash, bytes from (
      (select seq, leaf_hash, bytes from records
       where tenant = ${tenant} and seq > ${after} and seq <= ${upTo} order by seq limit ${limit})
      union all
      (select seq, leaf_hash, null from leaves
       where tenant = ${tenant} and seq > ${after} and seq <= ${upTo} order by seq limit ${limit})
    ) as both_homes
    order by seq limit ${limit}`.execute(trx);
  const last = rows.at(-1);
  if (last === undefined) return [];
  const values = await valuesBetween(trx, tenant, after, last.seq);
  return rows.map(({ seq, leaf_hash: leaf, bytes }) =>
    bytes === null ? { seq, leaf } : { seq, leaf, bytes, values: values.get(seq) ?? {} },
  );
}

/** The records of a query below a size, the oldest first, after a sequence. */
export async function nextSelected(
  trx: Trx,
  tenant: string,
  query: Omit<RecordQuery, 'before' | 'limit'>,
  range: { after: number; upTo: number; limit: number },
): Promise<StoredRecord[]> {
  return findRecords(trx, tenant, {
    ...query,
    after: range.after,
    before: range.upTo + 1,
    limit: range.limit,
    oldestFirst: true,
  });
}

/**
 * What goes out of each selected record of a page: its disclosed values, and its proof in the tree of
 * `size` records. One statement for the values; of the tree each range is read once.
 */
export async function provenPage(
  trx: Trx,
  tenant: string,
  page: readonly StoredRecord[],
  size: number,
): Promise<ExportedRecord[]> {
  const values = await valuesOf(
    trx,
    tenant,
    page.map(({ seq }) => seq),
  );
  const read = remembering(hashReader(trx, tenant));
  const proven: ExportedRecord[] = [];
  for (const { seq, bytes, leafHash } of page) {
    const proof = await inclusionProof(read, seq - 1, size);
    proven.push({
      seq,
      bytes: bytes.toString('utf8'),
      leaf: leafHash.toString('base64'),
      values: values.get(seq) ?? {},
      proof: proof.map((hash) => Buffer.from(hash).toString('base64')),
    });
  }
  return proven;
}

/** Neighbouring records share nearly all of their proofs. */
function remembering(read: HashReader): HashReader {
  const known = new Map<string, ReturnType<HashReader>>();
  return (level, start, count) => {
    const key = `${level} ${start} ${count}`;
    const found = known.get(key) ?? read(level, start, count);
    known.set(key, found);
    return found;
  };
}

type ValueRow = { seq: number; pointer: string; salt: string; value: string | null };

function selectValues(trx: Trx, tenant: string) {
  return trx
    .selectFrom('records as r')
    .innerJoin('disclosures as d', (join) =>
      join
        .onRef('d.tenant', '=', 'r.tenant')
        .onRef('d.producer', '=', 'r.producer')
        .onRef('d.record_id', '=', 'r.id'),
    )
    .select(['r.seq', 'd.pointer', 'd.salt', 'd.value'])
    .where('r.tenant', '=', tenant);
}

async function valuesBetween(
  trx: Trx,
  tenant: string,
  after: number,
  to: number,
): Promise<Map<number, Disclosures>> {
  const between = selectValues(trx, tenant).where('r.seq', '>', after).where('r.seq', '<=', to);
  return bySequence(await between.execute());
}

async function valuesOf(
  trx: Trx,
  tenant: string,
  seqs: readonly number[],
): Promise<Map<number, Disclosures>> {
  if (seqs.length === 0) return new Map();
  return bySequence(
    await selectValues(trx, tenant)
      .where('r.seq', 'in', [...seqs])
      .execute(),
  );
}

function bySequence(rows: readonly ValueRow[]): Map<number, Disclosures> {
  const found = new Map<number, Disclosures>();
  for (const { seq, pointer, salt, value } of rows) {
    if (value === null) continue;
    const of = found.get(seq) ?? {};
    of[pointer] = { salt, value: JSON.parse(value) };
    found.set(seq, of);
  }
  return found;
}
