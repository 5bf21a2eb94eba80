import { type Kysely, sql, type Transaction } from 'kysely';
import { createPartitions, MONTHS_AHEAD, months } from '../store/partitions.ts';

type Db = Kysely<never>;
type Trx = Transaction<never>;

export type LetGo = {
  /** Records of which only the leaf hash is left now. */
  readonly records: number;
  readonly dropped: readonly string[];
  readonly created: readonly string[];
};

/**
 * Lets go what the ledger said that it lets go (`retentions`): bytes, columns and personal values; the
 * leaf hashes stay, so the tree and every proof hold. Keeps what a hold names. A month of which nothing
 * is left is dropped as a whole. Makes the partitions of the months ahead. Runs as the owner of the
 * schema, in a process of its own: the service has no right to delete a record.
 */
export async function letGo(db: Db, nowMs: number): Promise<LetGo> {
  const created = await db
    .transaction()
    .execute((trx) => createPartitions(trx, months(nowMs, MONTHS_AHEAD)));
  const dropped: string[] = [];
  let records = 0;
  for (const partition of await partitionsOf(db)) {
    await db.transaction().execute(async (trx) => {
      const gone = await shrink(trx, partition, nowMs);
      records += gone.records;
      if (gone.dropped) dropped.push(partition);
    });
  }
  return { records, dropped, created };
}

async function shrink(
  trx: Trx,
  partition: string,
  nowMs: number,
): Promise<{ records: number; dropped: boolean }> {
  const table = sql.ref(partition);
  let records = 0;
  const due = await dueTenants(trx);
  const counts: { tenant: string; upTo: number; count: number }[] = [];
  for (const { tenant, upTo } of due) {
    await enter(trx, tenant);
    const { rows } = await sql<{ count: number }>`
      with going as (select * from ${table} as r where ${mayGo(tenant, upTo)}),
      kept as (
        insert into leaves (tenant, seq, leaf_hash, producer, id)
        select tenant, seq, leaf_hash, producer, id from going
      ),
      values_gone as (
        delete from disclosures as d using going as g
        where d.tenant = g.tenant and d.producer = g.producer and d.record_id = g.id
      )
      select count(*)::int as count from going`.execute(trx);
    const count = rows[0]?.count ?? 0;
    records += count;
    if (count > 0) counts.push({ tenant, upTo, count });
  }
  if (isPast(partition, nowMs) && (await totalOf(trx, partition)) === records) {
    await sql`alter table records detach partition ${table}`.execute(trx);
    await sql`drop table ${table}`.execute(trx);
    return { records, dropped: true };
  }
  for (const { tenant, upTo } of counts) {
    await enter(trx, tenant);
    await sql`delete from ${table} as r where ${mayGo(tenant, upTo)}`.execute(trx);
  }
  return { records, dropped: false };
}

/** Of each tenant the newest word of the ledger about what may go. */
async function dueTenants(trx: Trx): Promise<{ tenant: string; upTo: number }[]> {
  await sql`select set_config('remit.system', 'on', true)`.execute(trx);
  const { rows } = await sql<{ tenant: string; up_to: string }>`
    select tenant, max(up_to) as up_to from retentions group by tenant order by tenant`.execute(
    trx,
  );
  await sql`select set_config('remit.system', 'off', true)`.execute(trx);
  return rows.map(({ tenant, up_to }) => ({ tenant, upTo: Number(up_to) }));
}

async function enter(trx: Trx, tenant: string): Promise<void> {
  await sql`select set_config('remit.tenant', ${tenant}, true)`.execute(trx);
}

/** Whether the record `r` may go: it is old enough, and no hold names it. */
function mayGo(tenant: string, upTo: number) {
  return sql`r.tenant = ${tenant} and r.seq <= ${upTo} and not ${isHeld}`;
}

/** Whether an active hold names the record `r`. */
export const isHeld = sql<boolean>`exists (
  select from holds h
  where h.tenant = r.tenant and h.released_at is null
    and (h.task is null or h.task = r.task)
    and (h.from_time is null or r.time >= h.from_time)
    and (h.to_time is null or r.time < h.to_time)
    and (h."user" is null or exists (
      select from disclosures d
      where d.tenant = r.tenant and d.producer = r.producer and d.record_id = r.id
        and d.pointer = '/principal' and d.value = h."user"))
)`;

/** Rows of all tenants: for this the owner is not held by its own policies. */
async function totalOf(trx: Trx, partition: string): Promise<number> {
  const table = sql.ref(partition);
  await sql`alter table ${table} no force row level security`.execute(trx);
  const { rows } = await sql<{
    count: number;
  }>`select count(*)::int as count from ${table}`.execute(trx);
  await sql`alter table ${table} force row level security`.execute(trx);
  return rows[0]?.count ?? 0;
}

async function partitionsOf(db: Db): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'records'::regclass order by c.relname`.execute(db);
  return rows.map(({ name }) => name);
}

/** No record arrives in a month that is over. The default partition has no month. */
function isPast(partition: string, nowMs: number): boolean {
  const [current] = months(nowMs, 1);
  return partition !== 'records_default' && current !== undefined && partition < current.name;
}
