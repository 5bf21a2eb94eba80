import { generateKeyPairSync, randomUUIDv7, sign, verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectBus, createVerifier } from '@remit/bus';
import { streams, subjects } from '@remit/contracts';
import { guard } from '@remit/pep';
import { testInfra, testServers } from '@remit/testkit';
import { checkFixture, READ } from '../../../packages/pep/src/check.testing.ts';
import { createEnforcement } from '../../../packages/pep/src/enforce.ts';
import { createRecorder } from '../../../packages/recorder/src/index.ts';
import type { Bench } from '../harness.ts';

/**
 * A call from the guarded function to the tool behind it: the check with proof, and the record in the
 * spool and in the stream, on a real bus and a real disk. The baseline does nothing but the slower of
 * the two, with the very bytes of such a record.
 */
async function started() {
  const cleanup = new AsyncDisposableStack();
  const servers = testServers();
  cleanup.defer(() => servers.close());
  const infra = cleanup.use(await testInfra({ servers }));
  const audit = await connectBus({ url: infra.natsUrl, name: 'audit', ...infra.creds('audit') });
  cleanup.defer(() => audit.close());
  await audit.ensureStream(streams.AUDIT);
  const bus = await connectBus({
    url: infra.natsUrl,
    name: 'erp-1',
    ...infra.pepCreds('acme', 'erp-1'),
  });
  cleanup.defer(() => bus.close());
  const dir = mkdtempSync(join(tmpdir(), 'remit-bench-'));
  cleanup.defer(() => rmSync(dir, { recursive: true, force: true }));
  const published: string[] = [];
  const recorder = createRecorder({
    bus: {
      ...bus,
      publishRecord: (subject, data, id) => {
        if (published.length === 0) published.push(Buffer.from(data).toString());
        return bus.publishRecord(subject, data, id);
      },
    },
    producer: { service: bus.user, instance: 'bench', version: '0' },
    spoolDir: join(dir, 'spool'),
    markVerifier: createVerifier(infra.trust().keys.audit_mark),
    // Nobody marks anything here, and nothing is published again meanwhile.
    limits: { maxSpoolBytes: 2 ** 31, republishAfterMs: 3_600_000 },
  });
  cleanup.defer(() => recorder.close());

  const fixture = await checkFixture();
  fixture.start();
  const token = fixture.sign(fixture.claims());
  const pep = createEnforcement(fixture.deps, recorder, { algs: [], acceptBearer: false });
  const read = guard(
    // How a call ended is recorded after the tool; it is no part of the way to it.
    { ...pep, finished: async () => {} },
    { action: READ.action, resource: () => READ.resource, args: () => READ.args },
    () => 'ran',
  );
  let proofs: string[] = [];
  const presented = fixture.present(token);
  await read(presented, undefined);
  const [record = ''] = published;
  const bytes = Buffer.from(record);
  const file = await open(join(dir, 'bare'), 'w');
  cleanup.defer(() => file.close());
  const subject = subjects.audit('acme', 'erp-1', 'decision');
  let position = 0;
  return {
    close: () => cleanup.disposeAsync(),
    prepare: async (operations: number) => {
      proofs = Array.from({ length: operations }, () => fixture.prove(token));
    },
    call: () => read({ ...presented, proof: proofs.pop() }, undefined),
    async bare() {
      const at = position;
      position += bytes.length;
      await Promise.all([
        file.write(bytes, 0, bytes.length, at),
        bus.publishRecord(subject, record, randomUUIDv7()),
      ]);
    },
  };
}

const whole: Bench = {
  name: 'guard',
  says: 'guard() from call to tool: token seen before, new ES256 proof, record in spool and stream',
  baselineSays: 'the slower of one write of the same bytes and one JetStream publish of them',
  targetRatio: 1.5,
  perRound: 1_000,
  async setup() {
    const { call, bare, prepare, close } = await started();
    return { subject: call, baseline: bare, prepare, close };
  },
};

/** What a guarded call cannot do without, one after the other: its proof's signature is checked first. */
function partsOf(bare: () => Promise<void>) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const data = Buffer.alloc(400, 'x');
  const options = { dsaEncoding: 'ieee-p1363' } as const;
  const signature = sign('sha256', data, { key: privateKey, ...options });
  return async () => {
    if (!verify('sha256', data, { key: publicKey, ...options }, signature)) {
      throw new Error('not verified');
    }
    await bare();
  };
}

const overParts: Bench = {
  name: 'guard-over-its-parts',
  says: 'the same',
  baselineSays: 'one bare ES256 verification, then the slower of the write and the publish',
  perRound: 1_000,
  async setup() {
    const { call, bare, prepare, close } = await started();
    return { subject: call, baseline: partsOf(bare), prepare, close };
  },
};

const MANY = 16;
const many: Bench = {
  name: `guard-${MANY}-at-once`,
  says: `${MANY} calls at the same time, as above`,
  baselineSays: `${MANY} writes and publishes at the same time`,
  perRound: 100,
  async setup() {
    const { call, bare, prepare, close } = await started();
    const all = (one: () => Promise<unknown>) => () =>
      Promise.all(Array.from({ length: MANY }, one));
    return {
      subject: all(call),
      baseline: all(bare),
      prepare: (operations) => prepare(operations * MANY),
      close,
    };
  },
};

export const guarded: readonly Bench[] = [whole, overParts, many];
