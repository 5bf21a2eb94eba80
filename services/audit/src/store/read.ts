import { type AuditRecord, auditRecord, conform, parseJsonStrict } from '@remit/contracts';
import { type RawBuilder, sql, type Transaction } from 'kysely';
import type { AuditTables } from './tables.ts';

type Trx = Transaction<AuditTables>;

/** What a query asks for; every filter that is given must hold. */
export type RecordQuery = {
  readonly task?: string;
  readonly agent?: string;
  readonly user?: string;
  readonly event?: string;
  readonly decision?: string;
  readonly reason?: string;
  readonly action?: string;
  readonly resource?: string;
  readonly token?: string;
  /** RFC 3339; `from` included, `to` not. */
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  /** Only records below this sequence. */
  readonly before?: number;
  /** Only records above this sequence. */
  readonly after?: number;
  readonly oldestFirst?: boolean;
};

/** A record as it stands in the ledger, with those personal values that are not erased. */
export type StoredRecord = {
  readonly seq: number;
  readonly id: string;
  readonly producer: string;
  /** Undefined when the stored bytes are no record: somebody changed them. */
  readonly record: AuditRecord | undefined;
  readonly leafHash: Buffer;
  readonly bytes: Buffer;
  readonly values: ReadonlyMap<string, unknown>;
};

type Row = { seq: number; id: string; producer: string; bytes: Buffer; leaf_hash: Buffer };

/** So many records are looked up by their sequences where no index gives them in order. */
const FEW = 1_000;

/** The newest records that a query asks for. The user is found by the disclosed value. */
export async function findRecords(
  trx: Trx,
  tenant: string,
  query: RecordQuery,
): Promise<StoredRecord[]> {
  const rows = await (await recordsQuery(trx, tenant, query)).execute();
  return withValues(trx, tenant, rows);
}

/**
 * The statement that finds them. An agent is one of several in a record, and a time is not a sequence:
 * where few records match these, they are looked up first; where many do, the newest are soon found.
 */
export async function recordsQuery(trx: Trx, tenant: string, query: RecordQuery) {
  let select = trx
    .selectFrom('records as r')
    .select(['r.seq', 'r.id', 'r.producer', 'r.bytes', 'r.leaf_hash'])
    .where('r.tenant', '=', tenant);
  if (query.user !== undefined) {
    const value = JSON.stringify(query.user);
    select = select.innerJoin('disclosures as d', (join) =>
      join
        .onRef('d.seq', '=', 'r.seq')
        .onRef('d.producer', '=', 'r.producer')
        .onRef('d.record_id', '=', 'r.id')
        .on('d.tenant', '=', tenant)
        .on('d.pointer', '=', sql.lit('/principal'))
        .on('d.value', '=', value),
    );
  }
  if (query.task !== undefined) select = select.where('r.task', '=', query.task);
  if (query.event !== undefined) select = select.where('r.event', '=', query.event);
  if (query.decision !== undefined) select = select.where('r.decision', '=', query.decision);
  if (query.reason !== undefined) select = select.where('r.reason', '=', query.reason);
  if (query.action !== undefined) select = select.where('r.action', '=', query.action);
  if (query.resource !== undefined) select = select.where('r.resource', '=', query.resource);
  if (query.token !== undefined) select = select.where('r.jti', '=', query.token);
  const { agent, from, to } = query;
  const loose = [
    ...(agent === undefined ? [] : [[sql<boolean>`r.agents @> array[${agent}]::text[]`]]),
    ...(from === undefined && to === undefined
      ? []
      : [
          [
            ...(from === undefined ? [] : [sql<boolean>`r.time >= ${from}::timestamptz`]),
            ...(to === undefined ? [] : [sql<boolean>`r.time < ${to}::timestamptz`]),
          ],
        ]),
  ];
  for (const conditions of loose) {
    const few = await fewThat(trx, tenant, conditions);
    if (few) select = select.where('r.seq', '=', sql<number>`any(${few}::int8[])`);
    else for (const condition of conditions) select = select.where(condition);
  }
  if (query.before !== undefined) select = select.where('r.seq', '<', query.before);
  if (query.after !== undefined) select = select.where('r.seq', '>', query.after);
  const order = query.oldestFirst ? 'asc' : 'desc';
  return select.orderBy('r.seq', order).limit(query.limit);
}

/** The sequences of the records that match, unless they are many. */
async function fewThat(
  trx: Trx,
  tenant: string,
  conditions: readonly RawBuilder<boolean>[],
): Promise<number[] | undefined> {
  const all = sql.join(conditions, sql` and `);
  const { rows } = await sql<{ seq: number }>`
    select r.seq from records r where r.tenant = ${tenant} and ${all} limit ${FEW + 1}`.execute(
    trx,
  );
  return rows.length > FEW ? undefined : rows.map(({ seq }) => seq);
}

/** Every record under an id, the first one first: producers choose ids, so two may share one. */
export async function recordsById(trx: Trx, tenant: string, id: string): Promise<StoredRecord[]> {
  const rows = await trx
    .selectFrom('records')
    .select(['seq', 'id', 'producer', 'bytes', 'leaf_hash'])
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .orderBy('seq')
    .limit(8)
    .execute();
  return withValues(trx, tenant, rows);
}

/** The records of these sequences, in their order. */
export async function recordsBySequence(
  trx: Trx,
  tenant: string,
  seqs: readonly number[],
): Promise<StoredRecord[]> {
  if (seqs.length === 0) return [];
  const rows = await trx
    .selectFrom('records')
    .select(['seq', 'id', 'producer', 'bytes', 'leaf_hash'])
    .where('tenant', '=', tenant)
    .where('seq', 'in', [...seqs])
    .orderBy('seq')
    .execute();
  return withValues(trx, tenant, rows);
}

async function withValues(trx: Trx, tenant: string, rows: readonly Row[]): Promise<StoredRecord[]> {
  const values = await disclosedValues(trx, tenant, rows);
  return rows.map((row) => ({
    seq: row.seq,
    id: row.id,
    producer: row.producer,
    record: tryRecord(row.bytes),
    leafHash: row.leaf_hash,
    bytes: row.bytes,
    values: values.get(`${row.producer} ${row.id}`) ?? new Map(),
  }));
}

function tryRecord(bytes: Uint8Array): AuditRecord | undefined {
  try {
    return readRecord(bytes);
  } catch {
    return undefined;
  }
}

/** A record from its canonical bytes. Throws ContractError when they are none. */
export function readRecord(bytes: Uint8Array): AuditRecord {
  return conform(auditRecord, parseJsonStrict(Buffer.from(bytes).toString('utf8')));
}

async function disclosedValues(
  trx: Trx,
  tenant: string,
  rows: readonly Row[],
): Promise<Map<string, Map<string, unknown>>> {
  const found = new Map<string, Map<string, unknown>>();
  if (rows.length === 0) return found;
  const producers = rows.map(({ producer }) => producer);
  const ids = rows.map(({ id }) => id);
  const { rows: values } = await sql<{
    producer: string;
    record_id: string;
    pointer: string;
    value: string | null;
  }>`
    select d.producer, d.record_id, d.pointer, d.value from disclosures d
    join unnest(${producers}::text[], ${ids}::text[]) as k(producer, id)
      on d.producer = k.producer and d.record_id = k.id
    where d.tenant = ${tenant}`.execute(trx);
  for (const { producer, record_id, pointer, value } of values) {
    if (value === null) continue;
    const key = `${producer} ${record_id}`;
    const map = found.get(key) ?? new Map<string, unknown>();
    found.set(key, map.set(pointer, JSON.parse(value)));
  }
  return found;
}
