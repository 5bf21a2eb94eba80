import { type Disclosures } from '@remit/contracts';
import { inclusionProof } from '@remit/ledger';
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

/** What a record's disclosed values are, with their salts. */
export async function disclosuresOf(
  trx: Trx,
  tenant: string,
  { seq }: { seq: number },
): Promise<Disclosures> {
  return (await valuesBetween(trx, tenant, seq - 1, seq)).get(seq) ?? {};
}

/** The inclusion proof of a sequence, as text. */
export async function proofOf(
  trx: Trx,
  tenant: string,
  seq: number,
  size: number,
): Promise<string[]> {
  const proof = await inclusionProof(hashReader(trx, tenant), seq - 1, size);
  return proof.map((hash) => Buffer.from(hash).toString('base64'));
}

async function valuesBetween(
  trx: Trx,
  tenant: string,
  after: number,
  to: number,
): Promise<Map<number, Disclosures>> {
  const rows = await trx
    .selectFrom('records as r')
    .innerJoin('disclosures as d', (join) =>
      join
        .onRef('d.tenant', '=', 'r.tenant')
        .onRef('d.producer', '=', 'r.producer')
        .onRef('d.record_id', '=', 'r.id'),
    )
    .select(['r.seq', 'd.pointer', 'd.salt', 'd.value'])
    .where('r.tenant', '=', tenant)
    .where('r.seq', '>', after)
    .where('r.seq', '<=', to)
    .execute();
  const found = new Map<number, Disclosures>();
  for (const { seq, pointer, salt, value } of rows) {
    if (value === null) continue;
    const of = found.get(seq) ?? {};
    of[pointer] = { salt, value: JSON.parse(value) };
    found.set(seq, of);
  }
  return found;
}
