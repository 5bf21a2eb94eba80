import { configSchema, loadConfig, secretField } from '@remit/service-kit';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { letGo } from './retention/let-go.ts';

// Run it daily as the owner of the schema, beside the service: `node services/audit/src/retain.ts`.

const retainConfig = configSchema({
  databaseOwnerUrl: secretField({
    description: 'PostgreSQL URL of the owner of the audit schema.',
  }),
});

try {
  const { config } = loadConfig(retainConfig, process.env);
  const pool = new pg.Pool({
    connectionString: config.databaseOwnerUrl,
    max: 1,
    options: '-c search_path=audit -c client_min_messages=warning -c timezone=UTC',
  });
  const db = new Kysely<never>({ dialect: new PostgresDialect({ pool }) });
  try {
    const { records, dropped, created } = await letGo(db, Date.now());
    process.stdout.write(
      `audit: let go ${records} records, dropped ${dropped.length} and made ${created.length} partitions\n`,
    );
  } finally {
    await db.destroy();
  }
} catch (error) {
  process.stderr.write(`audit: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
