import { type Transaction } from 'kysely';
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

/** The newest checkpoint of a tenant. */
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

/** The newest checkpoints of a tenant, the largest first. */
export async function newestCheckpoints(
  trx: Trx,
  tenant: string,
  limit: number,
): Promise<string[]> {
  const rows = await trx
    .selectFrom('checkpoints')
    .select('note')
    .where('tenant', '=', tenant)
    .orderBy('size', 'desc')
    .limit(limit)
    .execute();
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
