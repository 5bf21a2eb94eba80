import { sql, type Transaction } from 'kysely';
import type { ShadowDifference } from '../policies/shadow-difference.ts';
import type { PdpTables } from './tables.ts';

type Trx = Transaction<PdpTables>;

export type ShadowRef = { version: string; since: Date };
export type Tally = { same: number; different: number; failed: number };
export type StoredDifference = ShadowDifference & {
  id: string;
  at: string;
  active_version: string;
};

/** Beyond these, differences are counted and no longer kept one by one. */
const KEPT_DIFFERENCES = 10_000;

export async function shadowOf(trx: Trx, tenant: string): Promise<ShadowRef | undefined> {
  const newest = await trx
    .selectFrom('policy_shadows')
    .select(['version', 'set_at'])
    .where('tenant', '=', tenant)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return newest?.version ? { version: newest.version, since: newest.set_at } : undefined;
}

export async function insertShadow(
  trx: Trx,
  row: { tenant: string; version: string | null; set_by: string },
): Promise<void> {
  await trx.insertInto('policy_shadows').values(row).execute();
  // What was found out about others stays until the next begins a month later.
  await trx
    .deleteFrom('shadow_differences')
    .where('tenant', '=', row.tenant)
    .where('at', '<', sql<Date>`clock_timestamp() - interval '30 days'`)
    .execute();
}

/** Adds to the tally of a version, and keeps its differences while there is room. */
export async function addShadowResults(
  trx: Trx,
  tenant: string,
  version: string,
  results: { tally: Tally; differences: readonly StoredDifference[] },
): Promise<void> {
  const { same, different, failed } = results.tally;
  const { rows } = await sql<{ different: number }>`
    insert into shadow_tallies as kept (tenant, version, same, different, failed)
    values (${tenant}, ${version}, ${same}, ${different}, ${failed})
    on conflict (tenant, version) do update set
      same = kept.same + excluded.same,
      different = kept.different + excluded.different,
      failed = kept.failed + excluded.failed
    returning different`.execute(trx);
  if (results.differences.length === 0 || (rows[0]?.different ?? 0) > KEPT_DIFFERENCES) return;
  await trx
    .insertInto('shadow_differences')
    .values(
      results.differences.map(({ id, at, active_version, ...said }) => ({
        tenant,
        id,
        at: new Date(at),
        version,
        active_version,
        said: JSON.stringify(said),
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** The tally of a version and its newest differences. */
export async function shadowResults(
  trx: Trx,
  tenant: string,
  version: string,
  limit: number,
): Promise<{ tally: Tally; differences: StoredDifference[] }> {
  const tally = await trx
    .selectFrom('shadow_tallies')
    .select(['same', 'different', 'failed'])
    .where('tenant', '=', tenant)
    .where('version', '=', version)
    .executeTakeFirst();
  const rows = await trx
    .selectFrom('shadow_differences')
    .select(['id', 'at', 'active_version', 'said'])
    .where('tenant', '=', tenant)
    .where('version', '=', version)
    .orderBy('at', 'desc')
    .limit(limit)
    .execute();
  return {
    tally: tally ?? { same: 0, different: 0, failed: 0 },
    differences: rows.map(({ id, at, active_version, said }) => ({
      id,
      at: at.toISOString(),
      active_version,
      ...said,
    })),
  };
}
