import { type Kysely, sql } from 'kysely';

/** Months for which there is a partition before they begin. */
export const MONTHS_AHEAD = 6;

/** A month of records: `[from, to)` of the time at which they arrived, in UTC. */
export type Month = { readonly name: string; readonly from: string; readonly to: string };

/** The month of an instant and those that follow, by the partition that holds them. */
export function months(fromMs: number, count: number): Month[] {
  const first = new Date(fromMs);
  const start = (offset: number): Date =>
    new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + offset, 1));
  return Array.from({ length: count }, (_, i) => {
    const from = start(i).toISOString();
    return {
      name: `records_${from.slice(0, 4)}${from.slice(5, 7)}`,
      from,
      to: start(i + 1).toISOString(),
    };
  });
}

/**
 * Creates the partitions of `records` that are missing, as the owner of the schema. A partition is
 * behind tenants by itself too, though nobody but the owner may name it. What the default partition
 * holds of a month moves there. Returns the names that are new.
 */
export async function createPartitions(
  db: Kysely<never>,
  wanted: readonly Month[],
): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'records'::regclass`.execute(db);
  const there = new Set(rows.map(({ name }) => name));
  const missing = wanted.filter(({ name }) => !there.has(name));
  for (const { name, from, to } of missing) {
    const table = sql.ref(name);
    const inMonth = sql`received_at >= ${sql.lit(from)} and received_at < ${sql.lit(to)}`;
    await sql`create table ${table} (like records including defaults including constraints)`.execute(
      db,
    );
    // The owner is held by its own policies; here it moves rows of every tenant at once.
    await sql`alter table records_default no force row level security`.execute(db);
    await sql`insert into ${table} select * from records_default where ${inMonth}`.execute(db);
    await sql`delete from records_default where ${inMonth}`.execute(db);
    await sql`alter table records_default force row level security`.execute(db);
    await sql`alter table records attach partition ${table}
      for values from (${sql.lit(from)}) to (${sql.lit(to)})`.execute(db);
    await lockPartition(db, name);
  }
  return missing.map(({ name }) => name);
}

/** Row-level security of a partition, with no grant to anybody. */
export async function lockPartition(db: Kysely<never>, name: string): Promise<void> {
  const table = sql.ref(name);
  await sql`alter table ${table} enable row level security`.execute(db);
  await sql`alter table ${table} force row level security`.execute(db);
  await sql`create policy tenant_rows on ${table}
    using (tenant = current_setting('remit.tenant', true))`.execute(db);
}
