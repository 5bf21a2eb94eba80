import { readFileSync } from 'node:fs';
import { createPep } from '@remit/pep';
import { type RemitRoute, remit } from '@remit/pep/fastify';
import fastify, { type FastifyRequest } from 'fastify';
import { openHistory } from './history.ts';

/** A tool with a PEP in front, as a process: what it does is one line in its history. */
function setting(name: string): string {
  const value = process.env[`TOOL_${name}`];
  if (!value) throw new Error(`TOOL_${name} is not set`);
  return value;
}

const user = setting('NATS_USER');
const note = openHistory(setting('HISTORY'));
const pep = await createPep({
  tenant: setting('TENANT'),
  audience: setting('AUDIENCE'),
  trust: setting('TRUST_FILE'),
  nats: {
    url: setting('NATS_URL'),
    user,
    seed: readFileSync(setting('NATS_SEED_FILE'), 'utf8').trim(),
  },
  spoolDir: setting('SPOOL_DIR'),
  readyTimeoutMs: 60_000,
});

const app = fastify();
await app.register(remit, { pep });

let seen = '';
app.addHook('onSend', async () => {
  const { rev } = pep.health();
  const now = JSON.stringify(rev);
  if (!rev || now === seen) return;
  seen = now;
  note({ kind: 'seen', pep: user, ...rev });
});

const guarded = (action: string, collection: string): RemitRoute => ({
  action,
  resource: (request) => `erp/${collection}/${(request.params as { id: string }).id}`,
  args: () => ({}),
});
/** The tool's work. It is on disk before the caller is told. */
const work = (request: FastifyRequest) => {
  note({
    kind: 'executed',
    pep: user,
    call: String(request.headers['x-call']),
    decision: request.remit.id,
  });
  return { done: true };
};

app.get('/healthz', { config: { remit: 'public' } }, () => pep.health());
app.get('/suppliers/:id', { config: { remit: guarded('suppliers.read', 'suppliers') } }, work);
app.get(
  '/suppliers/:id/risk',
  { config: { remit: guarded('suppliers.risk.read', 'suppliers') } },
  work,
);
app.post(
  '/payments/:id/release',
  { config: { remit: guarded('payments.release', 'payments') } },
  work,
);
await app.listen({ host: '127.0.0.1', port: Number(setting('PORT')) });

const parent = process.ppid;
const stop = (): void => {
  void app
    .close()
    .then(() => pep.close())
    .finally(() => process.exit(0));
};
process.on('SIGTERM', stop);
setInterval(() => {
  if (process.ppid !== parent) stop();
}, 500).unref();
