import { randomUUIDv7 } from 'node:crypto';
import type { AuditRecord } from '@remit/contracts';
import { inclusionProof, verifyInclusion } from '@remit/ledger';
import { createLogger } from '@remit/service-kit';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { nextPart } from '../store/export.ts';
import { erase, isErasureHeld, placeHold, releaseHold } from '../store/holds.ts';
import { createPartitions, months } from '../store/partitions.ts';
import { hashReader } from '../store/tree.ts';
import { type TestLedger, testLedger } from '../test/ledger.ts';
import { decision, messageOf } from '../test/messages.ts';
import { createRetentionKeeper } from './keeper.ts';
import { letGo } from './let-go.ts';

const OLD = Date.UTC(2024, 4, 10);

/** Records 1 to 8 of two tasks that arrived long ago, and 9 to 12 of now. */
async function oldLedger(): Promise<TestLedger> {
  const ledger = await testLedger();
  const messages = Array.from({ length: 12 }, (_, i) =>
    messageOf(decision(i + 1, { task: { id: i % 2 ? 'task_b' : 'task_a', type: 't' } })),
  );
  await ledger.ingest(messages.slice(0, 8));
  await owner(ledger, (db) => createPartitions(db, months(OLD, 1)));
  await ledger.behindItsBack('update records set received_at = $1', [new Date(OLD)]);
  await ledger.ingest(messages.slice(8));
  await ledger.checkpointer.run('acme');
  return ledger;
}

async function owner<T>(ledger: TestLedger, work: (db: Kysely<never>) => Promise<T>): Promise<T> {
  const pool = new pg.Pool({ connectionString: ledger.infra.ownerUrl('audit'), max: 1 });
  const db = new Kysely<never>({ dialect: new PostgresDialect({ pool }) });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}

/** What the service does when records are older than a year, and what the owner's job does then. */
async function decide(ledger: TestLedger): Promise<AuditRecord[]> {
  const said: AuditRecord[] = [];
  const producer = { service: 'audit', instance: 'i', version: '0.1.0', boot: 'b' };
  const recorder = {
    async record(_tenant: string, { event, detail = {} }: { event: string; detail?: object }) {
      const n = said.length + 1;
      const record: AuditRecord = {
        v: 1,
        id: randomUUIDv7(),
        time: '2026-01-15T12:00:00.000000Z',
        tenant: 'acme',
        producer: { ...producer, n },
        event: event as 'admin.retention',
        detail: detail as Record<string, string>,
      };
      said.push(record);
      await ledger.ingest([messageOf(record, {})]);
      return { id: record.id, home: 'bus' as const };
    },
  };
  const keeper = createRetentionKeeper({
    database: ledger.database,
    recorder: recorder as never,
    clock: ledger.clock,
    log: createLogger({ service: 'audit', instance: 't', level: 'fatal' }),
    days: 365,
  });
  await keeper.look();
  await keeper.look();
  return said;
}
const job = (ledger: TestLedger) => owner(ledger, (db) => letGo(db, Date.now()));
const inTenant = <T>(
  ledger: TestLedger,
  work: Parameters<typeof ledger.database.withTenant<T>>[1],
) => ledger.database.withTenant('acme', work);

test('records go after their time, their month with them, and the ledger still verifies', async () => {
  await using ledger = await oldLedger();
  expect(await job(ledger)).toMatchObject({ records: 0, dropped: [] });
  const said = await decide(ledger);
  expect(said.map(({ detail }) => detail)).toMatchObject([{ up_to: 8, days: 365 }]);
  expect(await job(ledger)).toMatchObject({ records: 8, dropped: ['records_202405'] });
  expect(await job(ledger)).toMatchObject({ records: 0, dropped: [] });
  await ledger.checkpointer.run('acme');
  expect(await ledger.verify()).toMatchObject({ ok: true, size: 13, dropped: 8, confirmed: 13 });
  const [{ count } = { count: -1 }] = await ledger.behindItsBack(
    'select count(*)::int as count from disclosures',
  );
  expect(count).toBe(8);

  // Proofs hold for what stays and for what went, and the export has the hashes of the latter.
  const report = await ledger.verify();
  for (const seq of [3, 9, 13]) {
    await inTenant(ledger, async (trx) => {
      const reader = hashReader(trx, 'acme');
      const proof = await inclusionProof(reader, seq - 1, 13);
      const [leaf = Buffer.alloc(0)] = await reader(0, seq - 1, 1);
      const claim = { leaf, index: seq - 1, size: 13, proof, root: report.root };
      expect(verifyInclusion(claim)).toBe(true);
    });
  }
  const part = await inTenant(ledger, (trx) => nextPart(trx, 'acme', 0, 13, 20));
  expect(part.map((each) => 'bytes' in each)).toEqual([
    ...Array<boolean>(8).fill(false),
    ...Array<boolean>(5).fill(true),
  ]);
});

test('what a hold names stays, with its values, until it is released', async () => {
  await using ledger = await oldLedger();
  await inTenant(ledger, (trx) =>
    placeHold(trx, 'acme', { id: 'h1', task: 'task_b', reason: 'a case', by: 'dora' }),
  );
  await decide(ledger);
  expect(await job(ledger)).toMatchObject({ records: 4, dropped: [] });
  expect((await ledger.verify()).dropped).toBe(4);
  const kept = await ledger.behindItsBack(
    'select seq::int from records where seq <= 8 order by seq',
  );
  expect(kept.map(({ seq }) => seq)).toEqual([2, 4, 6, 8]);
  await inTenant(ledger, (trx) => releaseHold(trx, 'acme', 'h1', 'dora'));
  expect(await job(ledger)).toMatchObject({ records: 4, dropped: ['records_202405'] });
  expect(await ledger.verify()).toMatchObject({ ok: true, dropped: 8 });
});

test('holds by tenant, user and time keep what they name, and let erasure touch none of it', async () => {
  await using ledger = await oldLedger();
  await decide(ledger);
  for (const what of [
    {},
    { user: 'alice' },
    { from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z' },
  ]) {
    const hold = { id: randomUUIDv7(), ...what, reason: 'a case', by: 'dora' };
    await inTenant(ledger, (trx) => placeHold(trx, 'acme', hold));
    expect(await job(ledger), JSON.stringify(what)).toMatchObject({ records: 0 });
    expect(await inTenant(ledger, (trx) => isErasureHeld(trx, 'acme', { user: 'alice' }))).toBe(
      true,
    );
    expect(await inTenant(ledger, (trx) => isErasureHeld(trx, 'acme', { user: 'bob' }))).toBe(
      false,
    );
    await inTenant(ledger, (trx) => releaseHold(trx, 'acme', hold.id, 'dora'));
  }
  for (const what of [{ user: 'bob' }, { task: 'task_c' }, { to: '2020-01-01T00:00:00Z' }]) {
    const hold = { id: randomUUIDv7(), ...what, reason: 'another case', by: 'dora' };
    await inTenant(ledger, (trx) => placeHold(trx, 'acme', hold));
    expect(await inTenant(ledger, (trx) => isErasureHeld(trx, 'acme', { user: 'alice' }))).toBe(
      false,
    );
  }
  expect(await job(ledger)).toMatchObject({ records: 8 });
});

test('a record that somebody lets go without the ledger’s word is a deletion', async () => {
  await using ledger = await oldLedger();
  await decide(ledger);
  await job(ledger);
  await ledger.behindItsBack(
    'insert into leaves select tenant, seq, leaf_hash, producer, id from records where seq = 10',
  );
  await ledger.behindItsBack(
    'delete from disclosures where record_id = (select id from records where seq = 10)',
  );
  await ledger.behindItsBack('delete from records where seq = 10');
  expect((await ledger.verify()).faults).toMatchObject([{ kind: 'delete', seq: 9, upTo: 10 }]);
});

test('a record that went comes again as a duplicate, and brings nothing back', async () => {
  await using ledger = await testLedger();
  const message = messageOf(decision(1));
  await ledger.ingest([message]);
  await ledger.behindItsBack('update records set received_at = $1', [new Date(OLD)]);
  await decide(ledger);
  await job(ledger);
  await ledger.ingest([message]);
  expect(ledger.commits.at(-1)?.appended).toMatchObject([{ duplicates: 1, records: [] }]);
  expect(await ledger.behindItsBack('select * from disclosures')).toEqual([]);
});

test('the service itself can delete no record and change none', async () => {
  await using ledger = await oldLedger();
  for (const attempt of [
    'delete from records',
    'update records set seq = 99',
    'delete from leaves',
    'insert into leaves select * from leaves',
    'drop table records_default',
    'delete from checkpoints',
    'update retentions set up_to = 99',
  ]) {
    const pool = new pg.Pool({ connectionString: ledger.infra.databaseUrl('audit'), max: 1 });
    await expect(pool.query(`set search_path = audit; ${attempt}`), attempt).rejects.toThrow(
      /permission denied|must be owner/,
    );
    await pool.end();
  }
});

test('erasure takes a user’s values, also those put aside, and the tree does not change', async () => {
  await using ledger = await oldLedger();
  const same = messageOf(decision(1, { id: 'twice' }));
  await ledger.ingest([same, messageOf(decision(2, { id: 'twice', reason: 'other' }))]);
  await ledger.checkpointer.run('acme');
  const before = await ledger.verify();
  const erased = await inTenant(ledger, (trx) => erase(trx, 'acme', { user: 'alice' }));
  expect(erased).toEqual({ records: 13, values: 26 });
  const after = await ledger.verify();
  expect(after).toMatchObject({ ok: true, size: before.size });
  expect(Buffer.from(after.root)).toEqual(Buffer.from(before.root));
  const rows = await ledger.behindItsBack(
    `select payload from conflicts where position('alice'::bytea in payload) > 0
     union all select payload from quarantine where position('alice'::bytea in payload) > 0`,
  );
  expect(rows).toEqual([]);
  expect(await ledger.behindItsBack('select * from disclosures')).toEqual([]);
  expect(await inTenant(ledger, (trx) => erase(trx, 'acme', { user: 'alice' }))).toEqual({
    records: 0,
    values: 0,
  });
});
