import { type SqlBool, sql, type Transaction } from 'kysely';
import { isHeld } from '../retention/let-go.ts';
import type { AuditTables } from './tables.ts';

type Trx = Transaction<AuditTables>;

/** Which records a hold names: every condition that is given must hold; none names them all. */
export type HeldWhat = { user?: string; task?: string; from?: string; to?: string };
export type Hold = HeldWhat & { id: string; reason: string; placed_by: string; placed_at: Date };

export async function placeHold(
  trx: Trx,
  tenant: string,
  { id, reason, by, ...what }: HeldWhat & { id: string; reason: string; by: string },
): Promise<void> {
  await trx
    .insertInto('holds')
    .values({
      tenant,
      id,
      // As it stands in the disclosures, so that the two compare.
      user: what.user === undefined ? null : JSON.stringify(what.user),
      task: what.task ?? null,
      from_time: what.from ?? null,
      to_time: what.to ?? null,
      reason,
      placed_by: by,
      released_by: null,
      released_at: null,
    })
    .execute();
}

/** Whether there was such a hold, still active. */
export async function releaseHold(
  trx: Trx,
  tenant: string,
  id: string,
  by: string,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('holds')
    .set({ released_by: by, released_at: sql`now()` })
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .where('released_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** The active holds of a tenant. */
export async function activeHolds(trx: Trx, tenant: string): Promise<Hold[]> {
  const rows = await trx
    .selectFrom('holds')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('released_at', 'is', null)
    .orderBy('placed_at')
    .execute();
  const instant = (value: Date | string | null) =>
    value === null ? undefined : new Date(value).toISOString();
  return rows.map(({ id, user, task, from_time, to_time, reason, placed_by, placed_at }) => {
    const [from, to] = [instant(from_time), instant(to_time)];
    return {
      id,
      ...(user === null ? {} : { user: JSON.parse(user) as string }),
      ...(task === null ? {} : { task }),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      reason,
      placed_by,
      placed_at,
    };
  });
}

export type Erasable = { readonly user: string } | { readonly record: string };

/** Whether a hold names any record that an erasure would touch. */
export async function isErasureHeld(trx: Trx, tenant: string, what: Erasable): Promise<boolean> {
  const { rows } = await sql<{ held: boolean }>`
    select exists (
      select from records r where r.tenant = ${tenant} and ${targets(tenant, what)} and ${isHeld}
    ) as held`.execute(trx);
  return rows[0]?.held === true;
}

/**
 * Deletes the personal values of the records that are named, with their salts, and empties what was
 * put aside that holds the user's name. The records, their hashes and the tree stay as they are.
 */
export async function erase(
  trx: Trx,
  tenant: string,
  what: Erasable,
): Promise<{ records: number; values: number }> {
  const { rows } = await sql<{ records: number; values: number }>`
    with named as (
      select r.producer, r.id from records r where r.tenant = ${tenant} and ${targets(tenant, what)}
    ), gone as (
      delete from disclosures as d using named
      where d.tenant = ${tenant} and d.producer = named.producer and d.record_id = named.id
      returning d.producer, d.record_id
    )
    select count(*)::int as values, count(distinct (producer, record_id))::int as records
    from gone`.execute(trx);
  if ('user' in what) {
    const name = JSON.stringify(what.user);
    const holdsName = sql<SqlBool>`position(convert_to(${name}, 'UTF8') in payload) > 0`;
    for (const table of ['quarantine', 'conflicts'] as const) {
      await trx
        .updateTable(table)
        .set({ payload: Buffer.alloc(0) })
        .where('tenant', '=', tenant)
        .where(holdsName)
        .execute();
    }
  }
  return rows[0] ?? { records: 0, values: 0 };
}

function targets(tenant: string, what: Erasable) {
  if ('record' in what) return sql`r.id = ${what.record}`;
  return sql`exists (
    select from disclosures p
    where p.tenant = ${tenant} and p.producer = r.producer and p.record_id = r.id
      and p.pointer = '/principal' and p.value = ${JSON.stringify(what.user)})`;
}
