import { type Rev, type TokenSubjects, tenantId } from '@remit/contracts';
import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { feedMsNow } from './point.ts';
import { namesOf } from './revocations.ts';
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

/** A use that is to be inserted, of a token that ends at `exp`. */
export type NewUse = Omit<Row, 'keep_until'> & { exp: number };

/**
 * Inserts uses that nobody has in one round trip (`consume_uses`), and answers with those and with the
 * head before. Undefined, and nothing inserted, where anything has to be looked at more closely: a
 * revocation names one of the tokens, or one is not of now.
 */
export async function insertUsesIfClear(
  database: Database<Tables>,
  tenant: string,
  asked: {
    tokens: readonly TokenSubjects[];
    uses: readonly NewUse[];
    retentionSeconds: number;
    skewSeconds: number;
    lifeSeconds: number;
  },
): Promise<{ head: Rev; inserted: Pick<Row, 'use_id' | 'attempt'>[] } | undefined> {
  const { tokens, retentionSeconds, skewSeconds, lifeSeconds } = asked;
  const uses = asked.uses.toSorted((a, b) => (a.use_id < b.use_id ? -1 : 1));
  const column = (name: keyof NewUse) => uses.map((use) => use[name]);
  const { kinds, ids } = namesOf(tenant, { tokens, tasks: [], keys: [] });
  const epochs = [...new Set(tokens.map(({ rev }) => rev.epoch))];
  const exps = uses.map(({ exp }) => exp);
  const { rows } = await sql<{
    epoch: string;
    seq: number;
    inserted_uses: string[];
    inserted_attempts: string[];
  }>`select * from consume_uses(${tenantId(tenant)}, ${kinds}, ${ids}, ${epochs},
    ${Math.max(...tokens.map(({ rev }) => rev.seq))}, ${Math.min(...exps)}, ${Math.max(...exps)},
    ${skewSeconds}, ${lifeSeconds}, ${retentionSeconds}, ${column('use_id')}, ${column('attempt')},
    ${column('pep')}, ${column('jti')}, ${column('task')}, ${column('audience')}, ${exps})`.execute(
    database.db,
  );
  const [row] = rows;
  if (!row) return undefined;
  const inserted = row.inserted_uses.map((use_id, at) => ({
    use_id,
    attempt: row.inserted_attempts[at] as string,
  }));
  return { head: { epoch: row.epoch, seq: row.seq }, inserted };
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
