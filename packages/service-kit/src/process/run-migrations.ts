import { secretField, textField } from '../config/fields.ts';
import { configSchema, loadConfig } from '../config/load-config.ts';
import { type Migrations, runMigrations } from '../data/migrations.ts';
import { ServiceError } from '../errors.ts';

const migrateConfig = configSchema({
  databaseOwnerUrl: secretField({
    description: "PostgreSQL URL with the role that owns this service's schema.",
  }),
  databaseAppRole: textField({
    description: 'Role that the service runs as; it gets only what the migrations grant.',
    pattern: '^[a-z_][a-z0-9_]{0,62}$',
  }),
});

/**
 * The whole of a service's `migrate.ts`: reads `REMIT_DATABASE_OWNER_URL` and
 * `REMIT_DATABASE_APP_ROLE`, migrates the schema and ends; exit code 1 with a sentence on failure.
 */
export async function migrateService(options: {
  schema: string;
  migrations: Migrations;
}): Promise<void> {
  try {
    const { config } = loadConfig(migrateConfig, process.env);
    const ran = await runMigrations({
      ownerUrl: config.databaseOwnerUrl,
      schema: options.schema,
      appRole: config.databaseAppRole,
      migrations: options.migrations,
    });
    process.stdout.write(
      `${options.schema}: ${ran.length === 0 ? 'up to date' : ran.join(', ')}\n`,
    );
  } catch (error) {
    const message = error instanceof ServiceError ? error.message : String(error);
    process.stderr.write(`${options.schema}: ${message}\n`);
    process.exitCode = 1;
  }
}
