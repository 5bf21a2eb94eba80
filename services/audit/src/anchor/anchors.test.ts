import { generateKeyPairSync } from 'node:crypto';
import {
  type Checkpoint,
  cosign,
  ed25519Cosigner,
  judgeCheckpoint,
  noteVerifier,
  openNote,
  parseAddCheckpoint,
  peekCheckpoint,
  verifierKey,
} from '@remit/ledger';
import { createLogger, createMetrics, type Fetch } from '@remit/service-kit';
import { expect, test } from 'vitest';
import { newestCheckpoints } from '../store/checkpoints.ts';
import { type TestLedger, testLedger } from '../test/ledger.ts';
import { decision, decisions, messageOf } from '../test/messages.ts';
import { S3_KEY, testObjectStore } from '../test/object-store.ts';
import type { Anchor } from './anchor.ts';
import { type AnchorKeeper, createAnchorKeeper } from './keeper.ts';
import { objectStoreAnchor } from './object-store.ts';
import { witnessAnchor } from './witness.ts';

const STORE = { bucket: 'b', prefix: 'log', region: 'us-east-1', ...S3_KEY };

function keeperOf(ledger: TestLedger, anchors: readonly Anchor[]) {
  const halted: string[] = [];
  const alarms: Record<string, unknown>[] = [];
  const destination = {
    write: (line: string) => void alarms.push(JSON.parse(line) as Record<string, unknown>),
  };
  const metrics = createMetrics({ service: 'audit', version: 'test' });
  const keeper = createAnchorKeeper({
    anchors,
    database: ledger.database,
    clock: ledger.clock,
    log: createLogger({ service: 'audit', instance: 't', level: 'error', destination }),
    metrics,
    everySeconds: 3_600,
    signEmpty: () => {
      throw new Error('there are records');
    },
    onContradiction: (tenant, error) => {
      halted.push(tenant);
      ledger.checkpointer.halt(tenant, error);
    },
  });
  metrics.stop();
  return { keeper, halted, alarms, metrics };
}

/** A witness in memory; answers as the specification says. */
function memoryWitness(ledger: TestLedger) {
  const pair = generateKeyPairSync('ed25519');
  const name = 'witness.test/w1';
  let known: Checkpoint | undefined;
  const logs = [{ origin: ledger.keys.origin('acme'), verifiers: ledger.keys.verifiers('acme') }];
  const fetch = (async (_url: string, init: { body: string }) => {
    const verdict = judgeCheckpoint(parseAddCheckpoint(init.body), logs, known);
    if ('accepted' in verdict) {
      known = verdict.accepted;
      return new Response(cosign(known, [ed25519Cosigner(name, pair.privateKey, () => 1)]));
    }
    return new Response(verdict.size === undefined ? 'no\n' : `${verdict.size}\n`, {
      status: verdict.status,
    });
  }) as unknown as Fetch;
  const verifiers = [noteVerifier(verifierKey(name, pair.publicKey, { cosigner: true }))];
  const address = { url: 'http://witness.test', name: 'witness:w1', verifiers };
  return { fetch, verifiers, address, size: () => known?.size };
}

async function grow(ledger: TestLedger, keeper: AnchorKeeper, from: number, to: number) {
  await ledger.ingest(decisions(to).slice(from));
  await ledger.checkpointer.run('acme');
  await keeper.anchor('acme');
}

/** Takes the tables back to how they were, as a restored backup does. */
async function restored(ledger: TestLedger, work: () => Promise<void>): Promise<void> {
  const tables = ['records', 'disclosures', 'heads', 'tree_nodes', 'checkpoints', 'numbers'];
  for (const table of tables) {
    await ledger.behindItsBack(`create table backup_${table} as select * from ${table}`);
  }
  await work();
  for (const table of tables) {
    await ledger.behindItsBack(`delete from ${table}`);
    await ledger.behindItsBack(`insert into ${table} select * from backup_${table}`);
  }
}

test('an object store gets each checkpoint once, signed requests only, and knows the newest', async () => {
  await using ledger = await testLedger();
  await using store = await testObjectStore();
  const anchor = objectStoreAnchor({ endpoint: store.url, ...STORE }, ledger.keys);
  const { keeper } = keeperOf(ledger, [anchor]);
  await grow(ledger, keeper, 0, 3);
  await grow(ledger, keeper, 3, 12);
  await keeper.anchor('acme');
  const sizes = [...store.objects.keys()]
    .toSorted()
    .map((key) => peekCheckpoint(store.objects.get(key) ?? '').size);
  expect(sizes).toEqual([12, 3]);
  expect([...store.objects.keys()][0]).toMatch(/^log\/acme\/[0-9]{16}-3\.checkpoint$/);
  expect(store.refused).toEqual([]);
  const thief = objectStoreAnchor(
    { endpoint: store.url, ...STORE, secretAccessKey: 'other' },
    ledger.keys,
  );
  const { keeper: other, alarms } = keeperOf(ledger, [thief]);
  await other.anchor('acme');
  expect(store.refused).toHaveLength(1);
  expect(alarms).toMatchObject([{ alarm: 'anchor', anchor: 's3' }]);
  expect(JSON.stringify(alarms)).not.toContain('secret');
});

test('a witness cosigns; its lines are kept and stand below the checkpoint', async () => {
  await using ledger = await testLedger();
  const witness = memoryWitness(ledger);
  const { keeper } = keeperOf(ledger, [witnessAnchor(witness.address, witness.fetch)]);
  await grow(ledger, keeper, 0, 3);
  await grow(ledger, keeper, 3, 12);
  expect(witness.size()).toBe(12);
  const [newest = ''] = await ledger.database.withTenant('acme', (trx) =>
    newestCheckpoints(trx, 'acme', 1),
  );
  expect(openNote(newest, witness.verifiers).signedBy).toEqual(witness.verifiers);
  expect(openNote(newest, ledger.keys.verifiers('acme')).signedBy).toHaveLength(2);
  // Another process doesn't know what the witness has: it is told, and proves from there.
  const { keeper: replica } = keeperOf(ledger, [witnessAnchor(witness.address, witness.fetch)]);
  await grow(ledger, replica, 12, 13);
  expect(witness.size()).toBe(13);
});

for (const kind of ['an object store', 'a witness'] as const) {
  test(`a restored backup is found by ${kind}, before and after other records came`, async () => {
    await using ledger = await testLedger();
    await using store = await testObjectStore();
    const witness = memoryWitness(ledger);
    const fresh = (): Anchor =>
      kind === 'a witness'
        ? witnessAnchor(witness.address, witness.fetch)
        : objectStoreAnchor({ endpoint: store.url, ...STORE }, ledger.keys);
    const { keeper } = keeperOf(ledger, [fresh()]);
    await grow(ledger, keeper, 0, 4);
    await restored(ledger, () => grow(ledger, keeper, 4, 9));
    const after = keeperOf(ledger, [fresh()]);
    await expect(after.keeper.anchor('acme')).rejects.toThrow(
      expect.objectContaining({
        code: 'CHECKPOINT_BEHIND',
        message: expect.stringContaining('has 4 records, and the checkpoint kept at'),
      }),
    );
    expect(after.halted).toEqual(['acme']);
    // Nothing more is signed, though the folder of checkpoints was restored, too.
    await expect(ledger.checkpointer.run('acme')).rejects.toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_BEHIND' }),
    );
    const other = Array.from({ length: 9 }, (_, i) => messageOf(decision(i + 50)));
    await ledger.ingest(other);
    const note = await ledger.behindItsBack('select max(size) as size from checkpoints');
    expect(note).toEqual([{ size: '4' }]);
  });
}

test('an anchor that is away or lies is an alarm once and a metric, and the others are served', async () => {
  await using ledger = await testLedger();
  const witness = memoryWitness(ledger);
  let away = true;
  const flaky: Anchor = {
    name: 'flaky',
    take: async () => {
      if (away) throw new TypeError('fetch failed');
      return undefined;
    },
  };
  const liar = memoryWitness(ledger);
  const { keeper, alarms, halted, metrics } = keeperOf(ledger, [
    flaky,
    witnessAnchor(witness.address, witness.fetch),
    // Signs with a key that nobody pinned: no cosignature at all.
    witnessAnchor({ ...witness.address, name: 'liar' }, liar.fetch),
  ]);
  await grow(ledger, keeper, 0, 3);
  ledger.clock.advance(60_000);
  await grow(ledger, keeper, 3, 5);
  expect(witness.size()).toBe(5);
  expect(halted).toEqual([]);
  expect(alarms.map(({ anchor }) => String(anchor)).toSorted()).toEqual(['flaky', 'liar']);
  expect(metrics.text()).toContain('remit_audit_anchor_failures_total{anchor="flaky"} 2');
  expect(metrics.text()).toContain('remit_audit_anchor_behind_seconds{anchor="flaky"} 60');
  away = false;
  await keeper.round();
  expect(metrics.text()).toContain('remit_audit_anchored_total{anchor="flaky"} 1');
  expect(metrics.text()).toContain('remit_audit_anchor_behind_seconds{anchor="flaky"} 0');
});
