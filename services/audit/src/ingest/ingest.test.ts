import { canonicalText, recordText } from '@remit/contracts';
import { appendLeaf, decodeEdge, type Edge, edgeRoot, emptyEdge, leafHash } from '@remit/ledger';
import { expect, test } from 'vitest';
import { contiguousNumbers, numberGaps } from '../store/numbers.ts';
import { testLedger } from '../test/ledger.ts';
import { DISCLOSED, decision, decisions, messageOf, SALT } from '../test/messages.ts';

test('a batch becomes rows with the hashed bytes, a gap-free sequence, the tree and the disclosures', async () => {
  await using ledger = await testLedger();
  const records = [1, 2, 3].map((n) => decision(n));
  await ledger.ingest(records.map((record) => messageOf(record)));
  const rows = await ledger.behindItsBack('select * from records order by seq');
  expect(rows.map(({ seq }) => Number(seq))).toEqual([1, 2, 3]);
  let edge: Edge = emptyEdge;
  for (const [i, record] of records.entries()) {
    const bytes = Buffer.from(recordText(record));
    expect(rows[i]?.['bytes']).toEqual(bytes);
    expect(rows[i]?.['leaf_hash']).toEqual(leafHash(bytes));
    expect(rows[i]).toMatchObject({
      agents: ['procurement-agent'],
      task: 'task_1',
      decision: 'allow',
    });
    edge = appendLeaf(edge, leafHash(bytes));
  }
  const [head] = await ledger.behindItsBack('select seq, edge from heads');
  expect(Number(head?.['seq'])).toBe(3);
  expect(edgeRoot(decodeEdge(head?.['edge'] as Buffer))).toEqual(edgeRoot(edge));
  const values = await ledger.behindItsBack(
    'select pointer, salt, value from disclosures order by 1',
  );
  expect(values).toHaveLength(6);
  expect(values[5]).toEqual({ pointer: '/principal', salt: SALT, value: '"alice"' });
  // Personal values are nowhere in what is hashed.
  for (const row of rows) expect(String(row['bytes'])).not.toContain('alice');
  expect(await ledger.verify()).toMatchObject({ ok: true, size: 3 });
});

test('a batch that comes again, whole or in part, leaves one row per record', async () => {
  await using ledger = await testLedger();
  const messages = decisions(5);
  await ledger.ingest(messages.slice(0, 3));
  await ledger.ingest(messages);
  await ledger.ingest([...messages, ...messages]);
  expect(ledger.commits.map(({ appended }) => appended[0]?.duplicates)).toEqual([0, 3, 10]);
  const rows = await ledger.behindItsBack('select seq from records order by seq');
  expect(rows.map(({ seq }) => Number(seq))).toEqual([1, 2, 3, 4, 5]);
  expect(await ledger.verify()).toMatchObject({ ok: true, size: 5 });
  expect(ledger.alarms).toEqual([]);
});

test('batches of several writers at once leave every ledger gap-free', async () => {
  await using ledger = await testLedger();
  const batches = Array.from({ length: 8 }, (_, i) => {
    const producer = { service: `erp-${i}`, instance: 'i', version: '1', boot: `b${i}`, n: 1 };
    return ['acme', 'globex'].flatMap((tenant) =>
      [1, 2, 3].map((n) => messageOf(decision(n, { tenant, producer: { ...producer, n } }))),
    );
  });
  await Promise.all(batches.map((batch, i) => ledger.ingest(i % 2 ? batch : batch.toReversed())));
  for (const tenant of ['acme', 'globex']) {
    expect(await ledger.verify(tenant)).toMatchObject({ ok: true, size: 24, faults: [] });
  }
});

test('a record under the name of another producer or tenant is quarantined, and no number is counted', async () => {
  await using ledger = await testLedger();
  const record = decision(1);
  await ledger.ingest([
    messageOf(record, DISCLOSED, { subject: 'remit.audit.acme.erp-2.decision' }),
    messageOf(record, DISCLOSED, { subject: 'remit.audit.globex.erp-1.decision' }),
  ]);
  const kept = await ledger.behindItsBack('select tenant, reason from quarantine order by tenant');
  expect(kept).toEqual([
    { tenant: 'acme', reason: 'PRODUCER_MISMATCH' },
    { tenant: 'globex', reason: 'TENANT_MISMATCH' },
  ]);
  expect(await ledger.behindItsBack('select * from records')).toEqual([]);
  expect(await ledger.behindItsBack('select * from numbers')).toEqual([]);
  expect(ledger.alarms).toHaveLength(2);
  expect(ledger.metrics.text()).toContain(
    'remit_audit_quarantined_total{reason="PRODUCER_MISMATCH"} 1',
  );
});

test('poison is quarantined and does not hold up what comes with it', async () => {
  await using ledger = await testLedger();
  const good = decision(3);
  // PostgreSQL's timestamptz ends before this year: only the insert finds out.
  const unstorable = decision(2, { time: '0000-01-01T00:00:00Z' });
  await ledger.ingest([
    { subject: 'remit.audit.acme.erp-1.decision', data: Buffer.from('not json') },
    { subject: 'remit.audit.ACME.erp-1.decision', data: Buffer.from('{}') },
    { subject: 'remit.audit.acme.erp-1.decision', data: Buffer.from([0xff, 0xfe]) },
    messageOf(unstorable),
    messageOf(good),
  ]);
  const kept = await ledger.behindItsBack('select tenant, reason from quarantine order by 1, 2');
  expect(kept).toEqual([
    { tenant: '*', reason: 'SUBJECT_INVALID' },
    { tenant: 'acme', reason: 'NOT_JSON' },
    { tenant: 'acme', reason: 'NOT_JSON' },
    { tenant: 'acme', reason: 'STORE_REFUSED' },
  ]);
  const rows = await ledger.behindItsBack('select id from records');
  expect(rows).toEqual([{ id: good.id }]);
  expect(await ledger.verify()).toMatchObject({ ok: true, size: 1 });
});

test('the same poison again is kept once', async () => {
  await using ledger = await testLedger();
  const poison = { subject: 'remit.audit.acme.erp-1.decision', data: Buffer.from('{"a":1}') };
  await ledger.ingest([poison, poison]);
  await ledger.ingest([poison]);
  expect(await ledger.behindItsBack('select reason from quarantine')).toEqual([
    { reason: 'SCHEMA_MISMATCH' },
  ]);
});

test('the same id with other content is kept beside the first, with an alarm', async () => {
  await using ledger = await testLedger();
  const first = decision(1);
  const other = decision(2, { id: first.id, decision: 'deny' });
  await ledger.ingest([messageOf(first)]);
  await ledger.ingest([messageOf(other), messageOf(other)]);
  const rows = await ledger.behindItsBack('select decision from records');
  expect(rows).toEqual([{ decision: 'allow' }]);
  const conflicts = await ledger.behindItsBack('select id, payload from conflicts');
  expect(conflicts).toHaveLength(1);
  expect(conflicts[0]?.['payload']).toEqual(messageOf(other).data);
  expect(ledger.alarms[0]).toMatchObject({ alarm: 'conflict', record: first.id });
  expect(ledger.metrics.text()).toContain('remit_audit_conflicts_total 2');
});

test('one number on two records is an alarm, a record that comes again is none', async () => {
  await using ledger = await testLedger();
  const [one, two] = [decision(1), decision(2)].map((each) => messageOf(each));
  if (!one || !two) throw new Error('two messages');
  await ledger.ingest([one, two]);
  await ledger.ingest([two, one]);
  expect(ledger.alarms).toEqual([]);

  await ledger.ingest([messageOf(decision(2)), messageOf(decision(3)), messageOf(decision(3))]);
  const at = { alarm: 'number', tenant: 'acme', producer: 'erp-1', boot: 'boot1' };
  expect(ledger.alarms).toMatchObject([
    { ...at, n: 2 },
    { ...at, n: 3 },
  ]);
  expect(ledger.metrics.text()).toContain('remit_audit_numbers_reused_total 2');
  // Both are kept: which of them is true is not the ledger's to say.
  expect(await ledger.behindItsBack('select seq from records')).toHaveLength(5);
});

test('the same id of another producer is another record', async () => {
  await using ledger = await testLedger();
  const first = decision(1);
  const producer = { ...first.producer, service: 'erp-2' };
  await ledger.ingest([messageOf(first), messageOf({ ...first, producer })]);
  expect(await ledger.behindItsBack('select producer from records order by seq')).toEqual([
    { producer: 'erp-1' },
    { producer: 'erp-2' },
  ]);
  expect(ledger.alarms).toEqual([]);
});

test('numbers are committed up to the first gap, which is an alarm once it is old enough', async () => {
  await using ledger = await testLedger();
  const numbers = [1, 2, 4, 5, 9].map((n) => messageOf(decision(n)));
  await ledger.ingest(numbers);
  const contiguous = () =>
    ledger.database.withTenant('acme', (trx) =>
      contiguousNumbers(trx, 'acme', 'erp-1', ['boot1', 'other']),
    );
  const gaps = (seconds: number) =>
    ledger.database.withSystem((trx) => numberGaps(trx, seconds), { readOnly: true });
  expect(await contiguous()).toEqual([{ boot: 'boot1', n: 2 }]);
  const at = { tenant: 'acme', producer: 'erp-1', boot: 'boot1' };
  expect(await gaps(0)).toEqual([
    { ...at, from: 3, to: 3 },
    { ...at, from: 6, to: 8 },
  ]);
  expect(await gaps(60)).toEqual([]);
  await ledger.ingest([3, 6, 7, 8].map((n) => messageOf(decision(n))));
  expect(await contiguous()).toEqual([{ boot: 'boot1', n: 9 }]);
  expect(await gaps(0)).toEqual([]);
});

test('a transaction of one tenant sees no row of another', async () => {
  await using ledger = await testLedger();
  await ledger.ingest(decisions(2));
  const seen = await ledger.database.withTenant('globex', (trx) =>
    trx.selectFrom('records').selectAll().execute(),
  );
  expect(seen).toEqual([]);
  expect(await ledger.database.db.selectFrom('records').selectAll().execute()).toEqual([]);
  await expect(
    ledger.database.withTenant('acme', (trx) =>
      trx.updateTable('records').set({ event: 'x' }).execute(),
    ),
  ).rejects.toThrow('permission denied for table records');
});

test('text that PostgreSQL does not hold is kept in the bytes', async () => {
  await using ledger = await testLedger();
  const record = decision(1, {
    operation: { action: 'x', resource: 'erp/\u0000/S', args: {} },
    detail: { note: 'a\u0000b \\u0000' },
    actor: 'a"b\\c,{d} NULL',
    act_chain: ['NULL', 'a"b\\c,{d} NULL'],
  });
  await ledger.ingest([messageOf(record, {})]);
  const [row] = await ledger.behindItsBack('select bytes, resource, agents from records');
  expect(row?.['bytes']).toEqual(Buffer.from(canonicalText(record)));
  expect(row?.['agents']).toEqual(['NULL', 'a"b\\c,{d} NULL']);
  expect(row?.['resource']).toBe('erp/\ufffd/S');
  expect(await ledger.verify()).toMatchObject({ ok: true, size: 1 });
});
