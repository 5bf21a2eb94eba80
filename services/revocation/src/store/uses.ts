import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { feedMsNow } from './point.ts';
import type { Tables, Trx } from './tables.ts';

type Row = Omit<Tables['single_use'], 'tenant' | 'consumed_at'>;

/** Rows deleted by one statement. */
const FORGOTTEN_AT_ONCE = 5_000;

/**
 * Inserts uses that nobody has, and answers with those. Of two transactions with the same use the
 * second waits for the first. In the order of their ids, so that two of them never wait for each other.
 */
export async function insertUses(
  trx: Trx,
  tenant: string,
  rows: readonly Row[],
): Promise<Pick<Row, 'use_id' | 'attempt'>[]> {
  if (rows.length === 0) return [];
  const sorted = rows.toSorted((a, b) => (a.use_id < b.use_id ? -1 : 1));
  const column = (name: keyof Row) => sorted.map((row) => row[name]);
  const { rows: inserted } = await sql<Pick<Row, 'use_id' | 'attempt'>>`
    insert into single_use
      (tenant, use_id, attempt, pep, jti, task, audience, keep_until)
    select ${tenant}, each.* from unnest(${column('use_id')}::text[], ${column('attempt')}::text[],
      ${column('pep')}::text[], ${column('jti')}::text[], ${column('task')}::text[],
      ${column('audience')}::text[], ${column('keep_until')}::bigint[]) as each
    on conflict (tenant, use_id) do nothing
    returning use_id, attempt`.execute(trx);
  return inserted;
}

/** Who has these uses, by use id. A statement of its own after the insert, so it sees who won. */
export async function ownersOf(
  trx: Trx,
  tenant: string,
  uses: readonly string[],
): Promise<Map<string, Pick<Row, 'attempt' | 'pep' | 'jti' | 'audience'>>> {
  const rows = await trx
    .selectFrom('single_use')
    .select(['use_id', 'attempt', 'pep', 'jti', 'audience'])
    .where('tenant', '=', tenant)
    .where('use_id', 'in', [...uses])
    .execute();
  return new Map(rows.map(({ use_id, ...owner }) => [use_id, owner]));
}

/** Deletes the uses of all tenants whose time of keeping is over by the feed's clock; counts them. */
export async function forgetUses(database: Database<Tables>): Promise<number> {
  let forgotten = 0;
  for (;;) {
    const { numAffectedRows = 0n } = await database.withSystem((trx) =>
      sql`delete from single_use where (tenant, use_id) in (
        select u.tenant, u.use_id from single_use u, lease
        where u.keep_until < ${feedMsNow} / 1000
        order by u.keep_until limit ${FORGOTTEN_AT_ONCE})`.execute(trx),
    );
    forgotten += Number(numAffectedRows);
    if (numAffectedRows < FORGOTTEN_AT_ONCE) return forgotten;
  }
}
