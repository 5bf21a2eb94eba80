import { parseArgs } from 'node:util';
import {
  createDatabase,
  createLogger,
  createOutbox,
  loadConfig,
  readSigner,
  ServiceError,
  systemClock,
} from '@remit/service-kit';
import { registryConfig } from './config.ts';
import { RegistryError } from './error.ts';
import { applyFolder } from './load/apply-folder.ts';
import { checkFolder } from './load/check-folder.ts';
import { readFolder } from './load/read-folder.ts';
import { createChangeWriter } from './store/changes.ts';
import type { RegistryTables } from './store/tables.ts';

const USAGE = `registry load --dir DIR

Makes each tenant what its folder DIR/<tenant>/ says. Runs with the environment of the registry, beside
it or before it; the registry sends the events. A second load of the same folder changes nothing.`;

const { values } = parseArgs({
  options: { dir: { type: 'string' }, help: { type: 'boolean', default: false } },
});

try {
  if (values.help || values.dir === undefined) {
    process.stderr.write(`${USAGE}\n`);
    process.exitCode = values.help ? 0 : 2;
  } else {
    await load(values.dir);
  }
} catch (error) {
  const expected = error instanceof RegistryError || error instanceof ServiceError;
  process.stderr.write(`registry load: ${expected ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function load(dir: string): Promise<void> {
  const { config } = loadConfig(registryConfig, process.env);
  const log = createLogger({ service: 'registry', instance: 'load', level: 'warn' });
  // Everything is read and checked before anything is written.
  const folders = readFolder(dir, process.env);
  for (const folder of folders) checkFolder(folder);
  const signer = readSigner(config.busSignerFile);
  const envelopeSigner = readSigner(config.envelopeSignerFile);
  const database = await createDatabase<RegistryTables>({
    url: config.databaseUrl,
    schema: 'registry',
    log,
    max: 1,
    insecure: config.insecureDatabase,
  });
  try {
    const send = () => Promise.reject(new Error('the loader sends nothing'));
    const outbox = createOutbox({ database, log, send });
    const writer = createChangeWriter({ outbox, signer, clock: systemClock });
    for (const folder of folders) {
      const applied = await applyFolder(folder, { database, writer, envelopeSigner });
      const { tenant, revision, changes } = applied;
      const what = changes.length === 0 ? 'nothing changed' : `${changes.length} changes`;
      process.stdout.write(`${tenant}: ${what}, revision ${revision}\n`);
    }
  } finally {
    await database.close();
  }
}
