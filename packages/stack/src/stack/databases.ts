import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { StackError } from '../error.ts';
import { repositoryRoot } from './generators.ts';

const run = promisify(execFile);
const MIGRATION_TIMEOUT_MS = 60_000;

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
 * `src/migrate.ts` has none. Throws StackError `MIGRATION_FAILED` with what it said.
 */
export async function migrate(service: string, ownerUrl: string): Promise<void> {
  const program = join(repositoryRoot, 'services', service, 'src', 'migrate.ts');
  if (!existsSync(program)) return;
  try {
    await run(process.execPath, [program], {
      timeout: MIGRATION_TIMEOUT_MS,
      env: {
        PATH: process.env['PATH'],
        REMIT_DATABASE_OWNER_URL: ownerUrl,
        REMIT_DATABASE_APP_ROLE: serviceRoles(service).app,
      },
    });
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    throw new StackError(
      'MIGRATION_FAILED',
      `the migrations of ${service} failed: ${`${stdout}${stderr}`.trim().slice(-2000) || cause}`,
      { details: { service }, cause },
    );
  }
}
