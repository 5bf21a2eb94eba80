import { recordText } from '@remit/contracts';
import { leafHash } from '@remit/ledger';
import { expect, test } from 'vitest';
import { type TestLedger, testLedger } from '../test/ledger.ts';
import { decision, decisions, messageOf } from '../test/messages.ts';
import { derive } from './derive.ts';

// Each test changes the database as somebody who owns it, past the service, and shows that verify
// names it. Without the comparison that a test is about, the ledger below would be found whole.

/** Twelve records, checkpoints inside and outside at 6 and 12. */
async function signedLedger(): Promise<TestLedger> {
  const ledger = await testLedger();
  const messages = decisions(12);
  await ledger.ingest(messages.slice(0, 6));
  await ledger.checkpointer.run('acme');
  await ledger.ingest(messages.slice(6));
  await ledger.checkpointer.run('acme');
  expect(await ledger.verify()).toMatchObject({
    ok: true,
    size: 12,
    confirmed: 12,
    checkpoints: { inside: 2, outside: 2 },
  });
  return ledger;
}

/** The bytes of a record with another resource, and their hash. */
async function forged(ledger: TestLedger, seq: number): Promise<{ bytes: Buffer; hash: Buffer }> {
  const [row] = await ledger.behindItsBack('select bytes from records where seq = $1', [seq]);
  const text = String(row?.['bytes']);
  const bytes = Buffer.from(text.replace('S-100', 'S-999'));
  expect(bytes.toString()).not.toBe(text);
  return { bytes, hash: leafHash(bytes) };
}

test('an edited record is named', async () => {
  await using ledger = await signedLedger();
  const { bytes } = await forged(ledger, 5);
  await ledger.behindItsBack('update records set bytes = $1 where seq = 5', [bytes]);
  expect((await ledger.verify()).faults[0]).toMatchObject({ kind: 'edit', seq: 5, upTo: 5 });
});

test('an edited record with a hash that fits is found by the signed heads', async () => {
  await using ledger = await signedLedger();
  const { bytes, hash } = await forged(ledger, 9);
  await ledger.behindItsBack('update records set bytes = $1, leaf_hash = $2 where seq = 9', [
    bytes,
    hash,
  ]);
  const report = await ledger.verify();
  expect(report).toMatchObject({ ok: false, confirmed: 6 });
  expect(report.faults[0]).toMatchObject({ seq: 7, upTo: 12 });
});

test('a column that queries use and that the bytes do not say is named', async () => {
  await using ledger = await signedLedger();
  for (const change of [
    "decision = 'deny'",
    "agents = '{somebody-else}'",
    "time = time + interval '1 s'",
    "record = jsonb_set(record, '{reason}', '\"other\"')",
  ]) {
    await ledger.behindItsBack(`update records set ${change} where seq = 3`);
    expect((await ledger.verify()).faults[0], change).toMatchObject({
      kind: 'edit',
      seq: 3,
      detail: 'a column that queries use is not derived from the bytes',
    });
  }
});

test('a disclosed value that was replaced is named, an erased one is not', async () => {
  await using ledger = await signedLedger();
  await ledger.behindItsBack(
    'delete from disclosures where record_id = (select id from records where seq = 2)',
  );
  expect((await ledger.verify()).ok).toBe(true);
  await ledger.behindItsBack(
    `update disclosures set value = '"bob"' where pointer = '/principal'
     and record_id = (select id from records where seq = 4)`,
  );
  expect((await ledger.verify()).faults[0]).toMatchObject({
    kind: 'edit',
    seq: 4,
    detail: 'a disclosed value does not open its commitment',
  });
});

test('a user’s record that queries by user no longer find is named', async () => {
  await using ledger = await signedLedger();
  await ledger.behindItsBack('update disclosures set seq = 9 where seq = 4');
  expect((await ledger.verify()).faults[0]).toMatchObject({
    kind: 'edit',
    seq: 4,
    detail: 'a disclosed value stands beside another sequence',
  });
});

test('a deleted record is named, also when the later ones moved up', async () => {
  await using ledger = await signedLedger();
  await ledger.behindItsBack('delete from records where seq = 8');
  expect((await ledger.verify()).faults[0]).toMatchObject({ kind: 'delete', seq: 8, upTo: 8 });
  for (const seq of [9, 10, 11, 12]) {
    await ledger.behindItsBack('update records set seq = $1 where seq = $2', [seq - 1, seq]);
  }
  expect((await ledger.verify()).faults[0]).toMatchObject({ kind: 'delete', seq: 7, upTo: 8 });
});

test('two records that changed places are named', async () => {
  await using ledger = await signedLedger();
  await ledger.behindItsBack('update records set seq = 1000 where seq = 2');
  await ledger.behindItsBack('update records set seq = 2 where seq = 5');
  await ledger.behindItsBack('update records set seq = 5 where seq = 1000');
  expect((await ledger.verify()).faults[0]).toMatchObject({ kind: 'reorder', seq: 2, upTo: 5 });
});

test('an inserted record is named, at the end and in between', async () => {
  await using ledger = await signedLedger();
  const plant = (seq: number) => {
    const record = decision(seq, { reason: 'planted' });
    const bytes = Buffer.from(recordText(record));
    const row = { tenant: 'acme', seq, bytes, leaf_hash: leafHash(bytes), ...derive(record) };
    return ledger.behindItsBack(
      `insert into records (${Object.keys(row).join(', ')})
       values (${Object.keys(row)
         .map((_, i) => `$${i + 1}`)
         .join(', ')})`,
      Object.values(row),
    );
  };
  await plant(13);
  const behind = await ledger.verify();
  expect(behind.faults.map(({ kind, seq }) => ({ kind, seq }))).toContainEqual({
    kind: 'insert',
    seq: 13,
  });
  for (let seq = 13; seq >= 4; seq--) {
    await ledger.behindItsBack('update records set seq = $1 where seq = $2', [seq + 1, seq]);
  }
  await ledger.behindItsBack('delete from records where seq = 14');
  await plant(4);
  expect((await ledger.verify()).faults[0]).toMatchObject({ kind: 'insert', seq: 4, upTo: 4 });
});

test('a truncated ledger is named, as long as anything inside still knows of the rest', async () => {
  await using ledger = await signedLedger();
  await ledger.behindItsBack('delete from records where seq > 10');
  expect((await ledger.verify()).faults[0]).toMatchObject({
    kind: 'truncation',
    seq: 11,
    upTo: 12,
  });
});

test('a restored backup is found by the checkpoints outside, and by nothing else', async () => {
  await using ledger = await testLedger();
  const messages = decisions(9);
  await ledger.ingest(messages.slice(0, 6));
  await ledger.checkpointer.run('acme');
  const tables = ['records', 'disclosures', 'heads', 'tree_nodes', 'checkpoints', 'numbers'];
  for (const table of tables) {
    await ledger.behindItsBack(`create table backup_${table} as select * from ${table}`);
  }
  await ledger.ingest(messages.slice(6));
  await ledger.checkpointer.run('acme');
  for (const table of tables) {
    await ledger.behindItsBack(`delete from ${table}`);
    await ledger.behindItsBack(`insert into ${table} select * from backup_${table}`);
  }
  expect((await ledger.verify()).faults).toEqual([
    expect.objectContaining({ kind: 'restored_backup', seq: 7, upTo: 9 }),
  ]);

  // The log signs nothing that contradicts what it signed before, and says so.
  await expect(ledger.checkpointer.run('acme')).rejects.toThrow(
    expect.objectContaining({ code: 'CHECKPOINT_BEHIND' }),
  );
  const others = [20, 21, 22, 23].map((n) => messageOf(decision(n)));
  await ledger.ingest(others);
  await expect(ledger.checkpointer.run('acme')).rejects.toThrow(
    expect.objectContaining({ code: 'CHECKPOINT_FORK' }),
  );
  expect(ledger.alarms.filter(({ alarm }) => alarm === 'ledger')).toHaveLength(2);
  expect(ledger.metrics.text()).toContain(
    'remit_audit_checkpoints_refused_total{reason="CHECKPOINT_FORK"} 1',
  );
  expect((await ledger.verify()).faults[0]).toMatchObject({ seq: 7, upTo: 9 });
});

test('a rewritten ledger with recomputed hashes, tree and edge gets no further signature', async () => {
  await using ledger = await signedLedger();
  const other = await testLedger();
  await using _ = other;
  await other.ingest(decisions(12));
  for (const [table, column] of [
    ['records', 'seq'],
    ['heads', 'tenant'],
  ]) {
    const rows = await other.behindItsBack(`select * from ${table} order by ${column}`);
    await ledger.behindItsBack(`delete from ${table}`);
    for (const row of rows) {
      const names = Object.keys(row);
      const values = names.map((name) =>
        name === 'record' ? JSON.stringify(row[name]) : row[name],
      );
      const places = names.map((_name, i) => `$${i + 1}`).join(', ');
      await ledger.behindItsBack(
        `insert into ${table} (${names.join(', ')}) values (${places})`,
        values,
      );
    }
  }
  expect((await ledger.verify()).faults[0]).toMatchObject({ seq: 1, upTo: 6 });
  await expect(ledger.checkpointer.run('acme')).rejects.toThrow(
    expect.objectContaining({ code: 'CHECKPOINT_FORK' }),
  );
});

test('a stored edge or subtree that is not of the records is found', async () => {
  await using ledger = await testLedger();
  const batch = Array.from({ length: 300 }, (_, i) => messageOf(decision(i + 1), {}));
  await ledger.ingest(batch);
  await ledger.checkpointer.run('acme');
  expect(await ledger.verify()).toMatchObject({ ok: true, size: 300, confirmed: 300 });
  await ledger.behindItsBack('update tree_nodes set hash = $1', [Buffer.alloc(32)]);
  expect((await ledger.verify()).faults).toEqual([
    {
      kind: 'edit',
      seq: 1,
      upTo: 256,
      detail: 'a stored subtree is not the one of the records',
    },
  ]);
});

test('checkpoints are deleted inside without harm, and forged ones are named', async () => {
  await using ledger = await signedLedger();
  await ledger.behindItsBack('delete from checkpoints where size = 6');
  expect((await ledger.verify()).ok).toBe(true);
  await ledger.behindItsBack(
    "update checkpoints set note = replace(note, E'\\n12\\n', E'\\n11\\n')",
  );
  expect((await ledger.verify()).faults[0]).toMatchObject({ kind: 'checkpoint', seq: 0 });
});

test('a checkpoint is a note of three lines that is signed, kept twice and announced once', async () => {
  await using ledger = await signedLedger();
  expect(ledger.published.map(({ subject }) => subject)).toEqual([
    'remit.checkpoint.acme',
    'remit.checkpoint.acme',
  ]);
  await ledger.checkpointer.run('acme');
  expect(ledger.published).toHaveLength(2);
  const rows = await ledger.behindItsBack('select note from checkpoints order by size');
  expect(rows.map(({ note }) => note)).toEqual(await ledger.outside.read('acme'));
  expect(String(rows[1]?.['note'])).toMatch(
    /^remit\.test\/acme\n12\n[A-Za-z0-9+/]{43}=\n\n(\u2014 remit\.test\/acme [A-Za-z0-9+/]+=*\n){2}$/,
  );
});
