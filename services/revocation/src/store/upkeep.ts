import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { allTenants } from './lease.ts';
import { feedMsNow } from './point.ts';
import type { Tables, Trx } from './tables.ts';

/**
 * Registrations are kept this long after their tokens (seconds): they say whose a task is, and a task
 * whose tokens are over may be renewed for a day.
 */
const KEEP_REGISTRATIONS = 90_000;
/** Entries this long after their end: a revoked task must not be renewed either. */
const KEEP_ENTRIES = 172_800;
/** Rows deleted by one statement. */
const AT_ONCE = 5_000;

export type Forgotten = { registrations: number; lists: number; entries: number };

/**
 * Deletes what can say nothing about any token any more, by the feed's clock: registrations a day
 * after their tokens, closed lists without any, and entries two days after their end. Entries of keys
 * stay. A tenant's `floor` is raised with its entries, so that whoever asks for what came after an
 * older sequence is sent to the snapshot.
 */
export async function forgetOld(database: Database<Tables>): Promise<Forgotten> {
  const sum: Forgotten = { registrations: 0, lists: 0, entries: 0 };
  for (const tenant of await allTenants(database)) {
    const each = (forget: (trx: Trx) => Promise<number>): Promise<number> =>
      untilFew(() => database.withTenant(tenant, forget));
    sum.registrations += await each((trx) => forgetRegistrations(trx, tenant));
    sum.lists += await database.withTenant(tenant, (trx) => forgetLists(trx, tenant));
    sum.entries += await each((trx) => forgetEntries(trx, tenant));
  }
  return sum;
}

async function untilFew(forget: () => Promise<number>): Promise<number> {
  let forgotten = 0;
  for (;;) {
    const rows = await forget();
    forgotten += rows;
    if (rows < AT_ONCE) return forgotten;
  }
}

async function forgetRegistrations(trx: Trx, tenant: string): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    delete from registration where tenant = ${tenant} and jti in (
      select jti from registration, lease
      where registration.tenant = ${tenant} and exp < ${feedMsNow} / 1000 - ${KEEP_REGISTRATIONS}
      limit ${AT_ONCE})`.execute(trx);
  return Number(numAffectedRows);
}

/**
 * The newest list stays, so that its number is not given again. One of an older epoch stays for a day,
 * since its registrations may be what a store that was put back lacks.
 */
async function forgetLists(trx: Trx, tenant: string): Promise<number> {
  const { numAffectedRows = 0n } = await sql`
    delete from status_list s
      using (select id, started_at from epoch order by number desc limit 1) e
      where s.tenant = ${tenant}
      and s.list < (select max(list) from status_list where tenant = ${tenant})
      and not exists (select 1 from registration r where r.tenant = ${tenant} and r.list = s.list)
      and case when s.epoch = e.id then s.closed
        else e.started_at < clock_timestamp() - interval '1 day' end`.execute(trx);
  return Number(numAffectedRows);
}

async function forgetEntries(trx: Trx, tenant: string): Promise<number> {
  const { rows } = await sql<{ seq: number }>`
    delete from revocation where tenant = ${tenant} and seq in (
      select revocation.seq from revocation, lease
      where revocation.tenant = ${tenant} and ends < ${feedMsNow} / 1000 - ${KEEP_ENTRIES}
      order by ends limit ${AT_ONCE})
    returning seq`.execute(trx);
  if (rows.length === 0) return 0;
  const floor = Math.max(...rows.map(({ seq }) => seq));
  await sql`update head set floor = greatest(floor, ${floor}) where tenant = ${tenant}`.execute(
    trx,
  );
  return rows.length;
}
