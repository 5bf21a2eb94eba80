import { commit } from '@remit/contracts';
import { expect, test } from 'vitest';
import { DISCLOSED, decision, messageOf, SALT } from '../test/messages.ts';
import { admit, isRefused } from './admit.ts';

const reasonOf = (message: Parameters<typeof admit>[0]): string => {
  const outcome = admit(message);
  return isRefused(outcome) ? outcome.reason : 'admitted';
};

test('a record of its sender is admitted with its canonical bytes and its opened values', () => {
  const record = decision(1);
  const outcome = admit(messageOf(record));
  if (isRefused(outcome)) throw new Error(outcome.reason);
  expect(outcome.record).toEqual(record);
  expect(outcome.bytes.toString()).toMatch(/^\{"act_chain":/);
  expect(outcome.disclosures).toEqual([
    { pointer: '/operation/args/note', salt: SALT, value: '"a/b"' },
    { pointer: '/principal', salt: SALT, value: '"alice"' },
  ]);
});

test('a record without its values is admitted: they may be dropped, never forged', () => {
  expect(reasonOf(messageOf(decision(1), {}))).toBe('admitted');
});

test('a value must open the commitment at its place', () => {
  const { '/principal': principal } = DISCLOSED;
  if (!principal) throw new Error('the fixture discloses the principal');
  for (const bad of [
    { '/principal': { ...principal, value: 'bob' } },
    { '/principal': { ...principal, salt: 'BBBBBBBBBBBBBBBBBBBBBB' } },
    { '/task/purpose': principal },
    { '/operation/args/other': principal },
    { '/nowhere': principal },
    { '': principal },
  ]) {
    expect(reasonOf(messageOf(decision(1), bad))).toBe('DISCLOSURE_MISMATCH');
  }
});

test('a pointer into the arguments is written as RFC 6901 says', () => {
  const args = { 'a/b~c': commit(SALT, 1) };
  const record = decision(1, { operation: { action: 'x', resource: 'y', args } });
  const disclosed = { '/operation/args/a~1b~0c': { salt: SALT, value: 1 } };
  expect(reasonOf(messageOf(record, disclosed))).toBe('admitted');
});

test('a principal that no index could hold is refused', () => {
  const value = 'x'.repeat(513);
  const record = decision(1, { principal: commit(SALT, value) });
  expect(reasonOf(messageOf(record, { '/principal': { salt: SALT, value } }))).toBe(
    'DISCLOSURE_MISMATCH',
  );
});

test('subject, envelope and record must say the same', () => {
  const record = decision(1);
  const cases: [string, Parameters<typeof admit>[0]][] = [
    ['SUBJECT_INVALID', messageOf(record, DISCLOSED, { subject: 'remit.audit.acme.erp-1' })],
    ['SUBJECT_INVALID', messageOf(record, DISCLOSED, { subject: 'remit.audit.acme.ERP.decision' })],
    ['TENANT_MISMATCH', messageOf(record, DISCLOSED, { subject: 'remit.audit.b.erp-1.decision' })],
    ['PRODUCER_MISMATCH', messageOf(record, DISCLOSED, { subject: 'remit.audit.acme.x.decision' })],
    [
      'CONTENT_MISMATCH',
      messageOf(record, DISCLOSED, { subject: 'remit.audit.acme.erp-1.token_issued' }),
    ],
    ['CONTENT_MISMATCH', messageOf(record, DISCLOSED, { event: { id: 'another' } })],
    ['SCHEMA_MISMATCH', messageOf(record, DISCLOSED, { event: { extra: 1 } })],
    ['SCHEMA_MISMATCH', messageOf({ ...record, extra: 1 } as never)],
    ['SCHEMA_MISMATCH', messageOf({ ...record, v: 2 } as never)],
    ['ID_INVALID', messageOf(decision(1, { id: 'a b' }))],
    ['ID_INVALID', messageOf({ ...record, producer: { ...record.producer, boot: 'a\u0000' } })],
    ['TIME_INVALID', messageOf(decision(1, { time: '2026-01-15 12:00' }))],
    ['TIME_INVALID', messageOf(decision(1, { time: '2026-13-15T12:00:00Z' }))],
    ['TIME_INVALID', messageOf(decision(1, { time: '2026-01-15T12:00:00+01:00' }))],
  ];
  for (const [reason, message] of cases) expect(reasonOf(message), message.subject).toBe(reason);
});

test('what has two readings or none is no JSON', () => {
  const subject = 'remit.audit.acme.erp-1.decision';
  const { data } = messageOf(decision(1));
  const text = Buffer.from(data).toString();
  for (const bad of [
    '',
    'null x',
    text.replace('{', '{"id":"a",'),
    text.slice(0, -1),
    '['.repeat(100),
    `\ufeff${text}`,
  ]) {
    expect(reasonOf({ subject, data: Buffer.from(bad) })).toBe('NOT_JSON');
  }
  expect(reasonOf({ subject, data: Buffer.from([0x22, 0xff, 0x22]) })).toBe('NOT_JSON');
  expect(reasonOf({ subject, data: Buffer.from('null') })).toBe('SCHEMA_MISMATCH');
});

test('a number is counted only for a record that is its sender’s own', () => {
  const record = decision(7);
  const own = admit(messageOf(record, { '/nowhere': { salt: SALT, value: 1 } }));
  expect(own).toMatchObject({ number: { producer: 'erp-1', boot: 'boot1', n: 7 } });
  const foreign = admit(
    messageOf(record, DISCLOSED, { subject: 'remit.audit.acme.erp-2.decision' }),
  );
  expect(foreign).not.toHaveProperty('number');
});
