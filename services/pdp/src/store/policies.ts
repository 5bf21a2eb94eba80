import { sql, type Transaction } from 'kysely';
import type { PdpTables, PolicyFiles } from './tables.ts';

type Trx = Transaction<PdpTables>;

/** Names an uploaded version: its number in the tenant and the SHA-256 of its files. */
export type VersionRef = { number: number; version: string };

export type VersionSummary = VersionRef & { author: string; message: string; created_at: Date };

/** Writers of a tenant's policies take turns until commit, so that numbers have no gaps. */
export async function lockPolicies(trx: Trx, tenant: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`policies:${tenant}`}, 0))`.execute(
    trx,
  );
}

/** The active version, or undefined where the tenant never activated one. */
export async function activeVersion(trx: Trx, tenant: string): Promise<VersionRef | undefined> {
  return trx
    .selectFrom('policy_activations')
    .select(['number', 'version'])
    .where('tenant', '=', tenant)
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** The newest activations of a tenant, oldest first. */
export async function activationHistory(trx: Trx, tenant: string): Promise<VersionRef[]> {
  const rows = await trx
    .selectFrom('policy_activations')
    .select(['number', 'version'])
    .where('tenant', '=', tenant)
    .orderBy('seq', 'desc')
    .limit(1_000)
    .execute();
  return rows.toReversed();
}

export async function findVersion(
  trx: Trx,
  tenant: string,
  version: string,
): Promise<VersionRef | undefined> {
  return trx
    .selectFrom('policy_versions')
    .select(['number', 'version'])
    .where('tenant', '=', tenant)
    .where('version', '=', version)
    .executeTakeFirst();
}

export async function readFiles(
  trx: Trx,
  tenant: string,
  version: string,
): Promise<PolicyFiles | undefined> {
  const row = await trx
    .selectFrom('policy_versions')
    .select('files')
    .where('tenant', '=', tenant)
    .where('version', '=', version)
    .executeTakeFirst();
  return row?.files;
}

/** The newest versions first. */
export async function listVersions(trx: Trx, tenant: string): Promise<VersionSummary[]> {
  return trx
    .selectFrom('policy_versions')
    .select(['number', 'version', 'author', 'message', 'created_at'])
    .where('tenant', '=', tenant)
    .orderBy('number', 'desc')
    .limit(100)
    .execute();
}

/** Adds a version under the next number. Call it under {@link lockPolicies}. */
export async function insertVersion(
  trx: Trx,
  row: { tenant: string; version: string; author: string; message: string; files: PolicyFiles },
): Promise<VersionRef> {
  const { last } = await trx
    .selectFrom('policy_versions')
    .select((eb) => eb.fn.coalesce(eb.fn.max('number'), sql<number>`0`).as('last'))
    .where('tenant', '=', row.tenant)
    .executeTakeFirstOrThrow();
  const number = last + 1;
  await trx
    .insertInto('policy_versions')
    .values({ ...row, number, files: JSON.stringify(row.files) })
    .execute();
  return { number, version: row.version };
}

export async function insertActivation(
  trx: Trx,
  row: VersionRef & { tenant: string; seq: number; activated_by: string },
): Promise<void> {
  await trx.insertInto('policy_activations').values(row).execute();
}
