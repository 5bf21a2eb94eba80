import type { AuditRecord } from '@remit/contracts';
import { expect, test } from 'vitest';
import { DISCLOSED, decision, messageOf } from '../test/messages.ts';
import { testService } from '../test/service.ts';

const byIssuer = (n: number) =>
  messageOf(
    decision(n, {
      producer: { service: 'issuer', instance: 'i1', version: '0.1.0', boot: 'boot1', n },
    }),
    DISCLOSED,
  );

test('an administrator erases a user, but not while a hold names a record of theirs', async () => {
  await using service = await testService();
  const marked = service.marked('boot1', 2);
  await service.send([byIssuer(1), byIssuer(2)]);
  await marked;
  const placed = await service.change('POST', '/holds', { user: 'alice', reason: 'case 7' });
  expect(placed.statusCode).toBe(201);
  const { id } = placed.json();
  expect((await service.get('/holds')).json()).toMatchObject({
    holds: [{ id, user: 'alice', reason: 'case 7', placed_by: 'dora' }],
  });
  const held = await service.change('POST', '/erasures', { user: 'alice' });
  expect([held.statusCode, held.json().code]).toEqual([409, 'CONFLICT']);
  expect((await service.get('/records?user=alice')).json().records).toHaveLength(2);

  expect((await service.change('DELETE', `/holds/${id}`)).statusCode).toBe(200);
  expect((await service.change('DELETE', `/holds/${id}`)).statusCode).toBe(404);
  const erased = await service.change('POST', '/erasures', { user: 'alice' });
  expect([erased.statusCode, erased.json()]).toEqual([200, { records: 2, values: 4 }]);
  expect((await service.get('/records?user=alice')).json().records).toEqual([]);
  expect((await service.get('/verify')).json()).toMatchObject({ ok: true });

  const events = ['admin.hold_placed', 'admin.hold_released', 'admin.erasure'];
  await expect
    .poll(async () => {
      const { records } = (await service.get('/records?user=dora&limit=50')).json();
      return records.map(({ event }: AuditRecord) => event);
    })
    .toEqual(expect.arrayContaining(events));
  // Who was erased or held is in none of the bytes.
  const rows = await service.sql("select bytes from records where event like 'admin.%'");
  for (const { bytes } of rows) expect(String(bytes)).not.toContain('alice');
});

test('auditors may look at holds and change none, others not even look', async () => {
  await using service = await testService();
  for (const [method, path, body] of [
    ['POST', '/holds', { reason: 'x' }],
    ['DELETE', '/holds/h1', undefined],
    ['POST', '/erasures', { user: 'alice' }],
  ] as const) {
    for (const who of ['erin', 'alice']) {
      const response = await service.change(method, path, body, who);
      expect([response.statusCode, response.json().code], `${who} ${path}`).toEqual([
        403,
        'FORBIDDEN',
      ]);
    }
  }
  expect((await service.get('/holds')).statusCode).toBe(200);
  expect((await service.get('/holds', 'alice')).statusCode).toBe(403);
  for (const body of [
    {},
    { user: 'a', record: 'b' },
    { user: '' },
    { user: 7 },
    { record: 'a b' },
    { all: true },
    { user: '\u0000' },
  ]) {
    const response = await service.change('POST', '/erasures', body);
    expect(response.json().code, JSON.stringify(body)).toBe('INVALID_REQUEST');
  }
  for (const body of [
    {},
    { reason: '' },
    { reason: 'x', from: 'now' },
    { reason: 'x', all: true },
  ]) {
    const response = await service.change('POST', '/holds', body);
    expect(response.json().code, JSON.stringify(body)).toBe('INVALID_REQUEST');
  }
  expect(await service.sql('select id from holds')).toEqual([]);
});
