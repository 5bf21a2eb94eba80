import { type Kysely, Kysely as KyselyClass, PostgresDialect, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import { ServiceError } from '../errors.ts';

type Privilege = 'delete' | 'insert' | 'select' | 'update';

export type TenantTableOptions = {
  /** What the service may do at all; everything by default. A ledger takes `['select','insert']`. */
  privileges?: readonly Privilege[];
  /**
   * What upkeep over all tenants (`withSystem`) may do: nothing by default. A second policy of its
   * own, so that a request that forgot its tenant still sees no row.
   */
  system?: readonly Privilege[];
};

/** What a migration gets. Names are in the service's schema. */
export type MigrationContext = {
  // biome-ignore lint/suspicious/noExplicitAny: a migration has no table types (kysely's own convention)
  db: Kysely<never>;
  schema: string;
  /**
   * Puts a table behind tenants: row-level security ENABLED and FORCED (owners too), one policy for
   * the transaction's tenant with `using` and `with check`, and the grants of the app role.
   */
  tenantTable: (name: string, options?: TenantTableOptions) => Promise<void>;
  /** A table of one row for the whole service (a head, a lease): its tenant is `*`, no other passes. */
  serviceTable: (name: string, options?: { privileges?: readonly Privilege[] }) => Promise<void>;
  /** Gives the app role more on a table of an earlier migration; its policies stay as they are. */
  allow: (name: string, privileges: readonly Privilege[]) => Promise<void>;
};

/** Migrations by name; they run in the order of their names, `0001_…` first. */
export type Migrations = Readonly<Record<string, (context: MigrationContext) => Promise<void>>>;

export type MigrateOptions = {
  /** URL of the owner, who alone has DDL. */
  ownerUrl: string;
  schema: string;
  /** Role that the service runs as. It gets USAGE and what the migrations grant. */
  appRole: string;
  migrations: Migrations;
};

const IDENTIFIER = /^[a-z_][a-z0-9_]{0,62}$/;
const ALL: readonly Privilege[] = ['select', 'insert', 'update', 'delete'];

/**
 * Brings a service's schema up to date as its owner. Services may do this at once: one advisory lock
 * per database. Afterwards every table must have a `tenant` column and forced row-level security.
 * Returns the names that ran. Throws ServiceError `MIGRATION_FAILED` or `MIGRATION_UNSAFE`.
 */
export async function runMigrations(options: MigrateOptions): Promise<string[]> {
  const { ownerUrl, schema, appRole, migrations } = options;
  for (const name of [schema, appRole]) {
    if (!IDENTIFIER.test(name)) throw new ServiceError('MIGRATION_FAILED', `${name} is not a name`);
  }
  const pool = new pg.Pool({
    connectionString: ownerUrl,
    max: 2,
    options: `-c search_path=${schema} -c client_min_messages=warning`,
  });
  const db = new KyselyClass<never>({ dialect: new PostgresDialect({ pool }) });
  try {
    await prepareSchema(db, schema, appRole);
    const migrator = new Migrator({
      db,
      migrationTableSchema: schema,
      provider: { getMigrations: async () => asKysely(migrations, schema, appRole) },
    });
    const { error, results = [] } = await migrator.migrateToLatest();
    if (error) {
      const failed = results.find(({ status }) => status === 'Error')?.migrationName;
      const where = failed ? ` at ${failed}` : '';
      throw new ServiceError(
        'MIGRATION_FAILED',
        `The schema ${schema} could not be migrated${where}: ${messageOf(error)}`,
        { schema, failed },
        error,
      );
    }
    await assertTenantTables(db, schema);
    return results.map(({ migrationName }) => migrationName);
  } finally {
    await db.destroy();
  }
}

async function prepareSchema(db: Kysely<never>, schema: string, appRole: string): Promise<void> {
  const exists = await sql<{
    n: number;
  }>`select 1 as n from pg_namespace where nspname = ${schema}`.execute(db);
  if (exists.rows.length === 0)
    await sql`create schema if not exists ${sql.ref(schema)}`.execute(db);
  await sql`revoke all on schema ${sql.ref(schema)} from public`.execute(db);
  await sql`grant usage on schema ${sql.ref(schema)} to ${sql.ref(appRole)}`.execute(db);
}

function asKysely(
  migrations: Migrations,
  schema: string,
  appRole: string,
): Record<string, Migration> {
  return Object.fromEntries(
    Object.entries(migrations).map(([name, up]) => [
      name,
      { up: (db: Kysely<never>) => up(contextOf(db, schema, appRole)) },
    ]),
  );
}

function contextOf(db: Kysely<never>, schema: string, appRole: string): MigrationContext {
  const role = sql.ref(appRole);

  async function grant(name: string, privileges: readonly Privilege[]): Promise<void> {
    const list = sql.raw(privileges.join(', '));
    await sql`grant ${list} on ${sql.ref(name)} to ${role}`.execute(db);
  }

  async function lock(name: string, privileges: readonly Privilege[]): Promise<void> {
    if (!IDENTIFIER.test(name)) throw new Error(`${name} is not a table name`);
    const table = sql.ref(name);
    await sql`alter table ${table} enable row level security`.execute(db);
    await sql`alter table ${table} force row level security`.execute(db);
    await sql`revoke all on ${table} from public`.execute(db);
    if (privileges.length === 0) return;
    await grant(name, privileges);
  }

  return {
    db,
    schema,
    allow: grant,
    tenantTable: async (name, { privileges = ALL, system = [] } = {}) => {
      await lock(name, privileges);
      const table = sql.ref(name);
      await sql`create policy tenant_rows on ${table}
        using (tenant = current_setting('remit.tenant', true))
        with check (tenant = current_setting('remit.tenant', true))`.execute(db);
      const on = sql`current_setting('remit.system', true) = 'on'`;
      for (const privilege of system) {
        const policy = sql.ref(`system_${privilege}`);
        const command = sql.raw(privilege);
        const rule =
          privilege === 'insert'
            ? sql`with check (${on})`
            : privilege === 'update'
              ? sql`using (${on}) with check (${on})`
              : sql`using (${on})`;
        await sql`create policy ${policy} on ${table} for ${command} ${rule}`.execute(db);
      }
    },
    serviceTable: async (name, { privileges = ALL } = {}) => {
      await lock(name, privileges);
      await sql`create policy service_row on ${sql.ref(name)}
        using (tenant = '*') with check (tenant = '*')`.execute(db);
    },
  };
}

/** A table that was forgotten would show every tenant's rows. */
async function assertTenantTables(db: Kysely<never>, schema: string): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relkind in ('r', 'p') and c.relname not like 'kysely\_%'
      and (not c.relrowsecurity or not c.relforcerowsecurity
        or not exists (select 1 from pg_policy p where p.polrelid = c.oid)
        or not exists (select 1 from pg_attribute a
          where a.attrelid = c.oid and a.attname = 'tenant' and a.attnotnull))`.execute(db);
  if (rows.length === 0) return;
  const names = rows.map(({ name }) => name);
  throw new ServiceError(
    'MIGRATION_UNSAFE',
    `Tables of ${schema} are not behind tenants: ${names.join(', ')}. Call tenantTable for each.`,
    { schema, names },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
