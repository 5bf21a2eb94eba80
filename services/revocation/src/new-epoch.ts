import {
  baseConfig,
  configSchema,
  createDatabase,
  createLogger,
  loadConfig,
  secretField,
} from '@remit/service-kit';
import { startEpoch } from './store/epochs.ts';
import type { Tables } from './store/tables.ts';

// For the operator, after a restore of the database and before the service starts on it.
const { config } = loadConfig(
  configSchema({
    databaseOwnerUrl: secretField({
      description: "PostgreSQL URL with the role that owns this service's schema.",
    }),
    insecureDatabase: baseConfig.insecureDatabase,
  }),
  process.env,
);
const log = createLogger({ service: 'revocation', instance: 'new-epoch', level: 'warn' });
const database = await createDatabase<Tables>({
  url: config.databaseOwnerUrl,
  schema: 'revocation',
  log,
  insecure: config.insecureDatabase,
});
try {
  process.stdout.write(`revocation: epoch ${await startEpoch(database)} began\n`);
} finally {
  await database.close();
}
