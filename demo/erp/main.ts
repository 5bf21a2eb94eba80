import { readFileSync } from 'node:fs';
import { createPep } from '@remit/pep';
import { buildErp } from './app.ts';
import { createErpStore } from './store.ts';

/** A setting of this instance, or what the file named by `<NAME>_FILE` holds. */
function setting(name: string, fallback?: string): string {
  const file = process.env[`${name}_FILE`];
  const value = process.env[name] || (file && readFileSync(file, 'utf8').trim()) || fallback;
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

const store = createErpStore(setting('ERP_DATABASE_URL'));
await store.prepare();
const pep = await createPep({
  tenant: setting('ERP_TENANT'),
  audience: setting('ERP_AUDIENCE'),
  trust: setting('ERP_TRUST_FILE'),
  nats: {
    url: setting('ERP_NATS_URL'),
    user: setting('ERP_NATS_USER'),
    seed: setting('ERP_NATS_SEED'),
  },
  spoolDir: setting('ERP_SPOOL_DIR'),
  // The registry allows curl-agent a token without a key, so that the story fits into one curl.
  acceptBearer: true,
  readyTimeoutMs: 25_000,
});
const app = await buildErp({ pep, store });
await app.listen({ host: setting('ERP_HOST', '127.0.0.1'), port: Number(setting('ERP_PORT')) });

const parent = process.ppid;
let stopping = false;
async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await app.close();
  await pep.close();
  await store.close();
  process.exit(0);
}
process.on('SIGTERM', () => void stop());
process.on('SIGINT', () => void stop());
setInterval(() => {
  if (process.ppid !== parent) void stop();
}, 500).unref();
