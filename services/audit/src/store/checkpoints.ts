import { sql, type Transaction } from 'kysely';
import type { AuditTables } from './tables.ts';

type Trx = Transaction<AuditTables>;

export async function storeCheckpoint(
  trx: Trx,
  tenant: string,
  size: number,
  note: string,
): Promise<void> {
  await trx
    .insertInto('checkpoints')
    .values({ tenant, size, note })
    .onConflict((on) => on.columns(['tenant', 'size']).doNothing())
    .execute();
}

/** Keeps the lines by which a cosigner signed a checkpoint; the first ones stay. */
export async function storeCosignature(
  trx: Trx,
  row: { tenant: string; size: number; cosigner: string; lines: string },
): Promise<void> {
  await trx
    .insertInto('cosignatures')
    .values(row)
    .onConflict((on) => on.columns(['tenant', 'size', 'cosigner']).doNothing())
    .execute();
}

/** The newest checkpoint of a tenant, as the log alone signed it. */
export function newestCheckpoint(
  trx: Trx,
  tenant: string,
): Promise<{ size: number; note: string } | undefined> {
  return trx
    .selectFrom('checkpoints')
    .select(['size', 'note'])
    .where('tenant', '=', tenant)
    .orderBy('size', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** The newest checkpoints of a tenant with every cosignature, the largest first. */
export async function newestCheckpoints(
  trx: Trx,
  tenant: string,
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ note: string }>`
    select c.note || coalesce(string_agg(s.lines, '' order by s.cosigner), '') as note
    from (select tenant, size, note from checkpoints
          where tenant = ${tenant} order by size desc limit ${limit}) as c
    left join cosignatures s on s.tenant = c.tenant and s.size = c.size
    group by c.size, c.note order by c.size desc`.execute(trx);
  return rows.map(({ note }) => note);
}

/** Every checkpoint of a tenant, the smallest first. */
export async function allCheckpoints(trx: Trx, tenant: string): Promise<string[]> {
  const rows = await trx
    .selectFrom('checkpoints')
    .select('note')
    .where('tenant', '=', tenant)
    .orderBy('size')
    .execute();
  return rows.map(({ note }) => note);
}

/** The heads of all tenants. For upkeep (`withSystem`) only. */
export function tenantsWithRecords(trx: Trx): Promise<{ tenant: string; size: number }[]> {
  return trx.selectFrom('heads').select(['tenant', 'seq as size']).orderBy('tenant').execute();
}
