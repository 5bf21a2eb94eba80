import { randomBytes } from 'node:crypto';
import { createVerifier } from '@remit/bus';
import { streams } from '@remit/contracts';
import { testInfra, testServers } from '@remit/testkit';
import pg from 'pg';
import { build } from '../../../services/revocation/src/app.ts';
import {
  configOf,
  connect,
  connectPep,
  createSources,
  subjectsOf,
} from '../../../services/revocation/src/test/rig.ts';
import type { Bench } from '../harness.ts';

const TENANT = 'acme';
const newId = () => randomBytes(16).toString('base64url');

/**
 * A PEP and the revocation service on a real bus, and one bare connection to its database. The server
 * runs without fsync, as in tests, on both sides; so the ratio shows the whole of the way around it.
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
  const app = await build(configOf(infra));
  cleanup.defer(() => app.stop());
  await app.start();
  const pep = await connectPep(infra);
  cleanup.defer(() => pep.close());
  const client = new pg.Client({
    connectionString: infra.databaseUrl('revocation'),
    options: `-c search_path=revocation -c remit.tenant=${TENANT}`,
  });
  await client.connect();
  cleanup.defer(() => client.end());
  const verifier = createVerifier(infra.trust().keys.revocation);
  const { epoch, seq } = await pep.call(
    'revocation.head',
    TENANT,
    { nonce: newId() },
    { verifier },
  );
  return {
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

export const consumptions: readonly Bench[] = [one, many];
