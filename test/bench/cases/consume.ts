import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createVerifier } from '@remit/bus';
import { streams } from '@remit/contracts';
import { variableName } from '@remit/service-kit';
import { type TestInfra, testInfra, testServers } from '@remit/testkit';
import pg from 'pg';
import {
  configOf,
  connect,
  connectPep,
  createSources,
  subjectsOf,
} from '../../../services/revocation/src/test/rig.ts';
import { rawConnection } from '../../attacks/raw-bus.ts';
import type { Bench } from '../harness.ts';

const TENANT = 'acme';
const newId = () => randomBytes(16).toString('base64url');

/**
 * A PEP in this process, the revocation service in one of its own, as they are deployed, and one bare
 * connection to its database. The server runs without fsync, as in tests, on both sides; so the ratio
 * shows the whole of the way around it.
 */
async function started() {
  const cleanup = new AsyncDisposableStack();
  const servers = testServers();
  cleanup.defer(() => servers.close());
  const infra = cleanup.use(await testInfra({ servers, services: ['revocation'] }));
  const sources = await createSources(infra);
  cleanup.defer(() => sources.stop());
  const audit = await connect(infra, 'audit');
  cleanup.defer(() => audit.close());
  await audit.ensureStream(streams.AUDIT, { storage: 'memory' });
  const service = spawnService(infra);
  cleanup.defer(async () => {
    service.kill('SIGKILL');
    if (service.exitCode === null && service.signalCode === null) await once(service, 'exit');
  });
  const pep = await connectPep(infra);
  cleanup.defer(() => pep.close());
  const client = new pg.Client({
    connectionString: infra.databaseUrl('revocation'),
    options: `-c search_path=revocation -c remit.tenant=${TENANT}`,
  });
  await client.connect();
  cleanup.defer(() => client.end());
  const verifier = createVerifier(infra.trust().keys.revocation);
  const { epoch, seq } = await answering(() =>
    pep.call('revocation.head', TENANT, { nonce: newId() }, { verifier }),
  );
  return {
    infra,
    cleanup,
    close: () => cleanup.disposeAsync(),
    async consume() {
      const token = {
        ...subjectsOf({ epoch, seq }),
        exp: Math.floor(Date.now() / 1_000) + 300,
        task_type: 'release-payment',
      };
      const { outcome } = await pep.call(
        'revocation.consume',
        TENANT,
        { use_id: token.jti, attempt: newId(), token, audience: 'https://erp.example' },
        { verifier },
      );
      if (outcome !== 'consumed') throw new Error(`the use is ${outcome}`);
    },
    insert: () =>
      client.query({
        name: 'insert',
        text: `insert into single_use (tenant, use_id, attempt, pep, jti, task, audience, keep_until)
          values ($1, $2, $3, 'erp-1', $2, 'task', 'https://erp.example', 0)`,
        values: [TENANT, newId(), newId()],
      }),
  };
}

function spawnService(infra: TestInfra): ChildProcess {
  const env = Object.entries(configOf(infra)).map(([key, value]) => [
    variableName(key),
    String(value),
  ]);
  const main = fileURLToPath(new URL('../../../services/revocation/src/main.ts', import.meta.url));
  return spawn(process.execPath, [main], {
    env: { PATH: process.env['PATH'], ...Object.fromEntries(env) },
    stdio: 'ignore',
  });
}

async function answering<T>(ask: () => Promise<T>): Promise<T> {
  for (let left = 200; ; left--) {
    try {
      return await ask();
    } catch (error) {
      if (left === 0) throw error;
      await setTimeout(100);
    }
  }
}

/**
 * What a consumption cannot do without: a request and its answer over the bus, between two connections
 * of this process, one signature, its check, and the insert.
 */
async function partsOf({ infra, cleanup, insert }: Awaited<ReturnType<typeof started>>) {
  const echo = cleanup.use(await rawConnection(infra, infra.creds('pdp')));
  const asker = cleanup.use(await rawConnection(infra, infra.pepCreds(TENANT, 'erp-2')));
  echo.nc.subscribe('remit.rpc.pdp.*.*.*', {
    queue: 'pdp',
    callback: (_error, message) => void message.respond(message.data),
  });
  const waiting: (() => void)[] = [];
  asker.nc.subscribe('_R.erp-2.>', { callback: () => waiting.shift()?.() });
  await Promise.all([echo.nc.flush(), asker.nc.flush()]);
  const payload = randomBytes(700);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return async () => {
    const answered = new Promise<void>((resolve) => waiting.push(resolve));
    const reply = `_R.erp-2.pdp.bench.${randomBytes(8).toString('hex')}`;
    asker.nc.publish(`remit.rpc.pdp.evaluate.${TENANT}.erp-2`, payload, { reply });
    await answered;
    const signature = sign(null, payload, privateKey);
    if (!verify(null, payload, publicKey, signature)) throw new Error('not verified');
    await insert();
  };
}

const one: Bench = {
  name: 'consume-one',
  says: 'a PEP has a single use consumed, from question to signed and checked answer',
  baselineSays: 'one PostgreSQL insert into the same table over a connection of its own, no fsync',
  targetRatio: 3,
  perRound: 500,
  async setup() {
    const { consume, insert, close } = await started();
    return { subject: consume, baseline: insert, close };
  },
};

const overParts: Bench = {
  name: 'consume-over-its-parts',
  says: 'the same',
  baselineSays:
    'a bare NATS round trip, one Ed25519 signature and its check, one PostgreSQL insert',
  perRound: 500,
  async setup() {
    const world = await started();
    return { subject: world.consume, baseline: await partsOf(world), close: world.close };
  },
};

const MANY = 64;
const many: Bench = {
  name: `consume-${MANY}-at-once`,
  says: `a PEP has ${MANY} single uses consumed at the same time`,
  baselineSays: `${MANY} PostgreSQL inserts one after the other over one connection, no fsync`,
  perRound: 30,
  async setup() {
    const { consume, insert, close } = await started();
    return {
      subject: () => Promise.all(Array.from({ length: MANY }, consume)),
      baseline: async () => {
        for (let n = 0; n < MANY; n++) await insert();
      },
      close,
    };
  },
};

export const consumptions: readonly Bench[] = [one, overParts, many];
