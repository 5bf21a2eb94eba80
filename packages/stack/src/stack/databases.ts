import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { StackError } from '../error.ts';
import type { RunningPostgres } from '../servers/postgres.ts';
import type { DatabaseFiles } from './generators.ts';
import { baseEnvironment, repositoryRoot } from './repository.ts';

const run = promisify(execFile);
const MIGRATION_TIMEOUT_MS = 60_000;
const NAME = /^[a-z][a-z0-9_]{0,62}$/;
const PASSWORD = /^[A-Za-z0-9_-]{24,}$/;

/** Makes every role, and the services' database with its schemas. May run again. */
export async function prepareCluster(
  postgres: RunningPostgres,
  roles: DatabaseFiles,
  database: string,
): Promise<void> {
  await runSql(postgres.superuserUrl(), roles.rolesSql);
  await createIfMissing(postgres, database);
  await runSql(postgres.superuserUrl(database), roles.schemasSql);
}

/** Makes a database that belongs to a role of the same name. May run again. */
export async function ensureDatabase(
  postgres: RunningPostgres,
  { name, password }: { name: string; password: string },
): Promise<void> {
  if (!NAME.test(name) || !PASSWORD.test(password)) throw new RangeError(`${name} is no database`);
  await runSql(
    postgres.superuserUrl(),
    `do $$ begin create role ${name}; exception when duplicate_object then null; end $$;
     alter role ${name} login nosuperuser nocreatedb nocreaterole nobypassrls password '${password}'`,
  );
  await createIfMissing(postgres, name);
  await runSql(
    postgres.superuserUrl(),
    `alter database ${name} owner to ${name}; revoke all on database ${name} from public`,
  );
}

async function createIfMissing(postgres: RunningPostgres, database: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.superuserUrl() });
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (found.rows.length === 0) await client.query(`create database ${database}`);
  } finally {
    await client.end();
  }
}

/** Runs SQL over a connection of its own. */
export async function runSql(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A connection URL on 127.0.0.1; a secret. */
export function databaseUrl(options: {
  port: number;
  role: string;
  password: string;
  database: string;
}): string {
  const { port, role, password, database } = options;
  return `postgres://${role}:${password}@127.0.0.1:${port}/${database}`;
}

/** The role that migrates a service's schema, and the one that the service runs as. */
export function serviceRoles(service: string): { owner: string; app: string } {
  return { owner: `remit_${service}_owner`, app: `remit_${service}` };
}

/**
 * Runs a service's migrations as the owner of its schema, in a process of its own. A service without
 * such a program has none. Throws StackError `MIGRATION_FAILED` with what it said.
 */
export async function migrate(
  service: string,
  ownerUrl: string,
  program = join(repositoryRoot, 'services', service, 'src', 'migrate.ts'),
): Promise<void> {
  if (!existsSync(program)) return;
  try {
    await run(process.execPath, [program], {
      timeout: MIGRATION_TIMEOUT_MS,
      env: {
        ...baseEnvironment(),
        REMIT_DATABASE_OWNER_URL: ownerUrl,
        REMIT_DATABASE_APP_ROLE: serviceRoles(service).app,
      },
    });
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    throw new StackError(
      'MIGRATION_FAILED',
      `the migrations of ${service} failed: ${`${stdout}${stderr}`.trim().slice(-2000) || String(cause)}`,
      { details: { service }, cause },
    );
  }
}
