import { createPublicKey } from 'node:crypto';
import type { AuditRecord } from '@remit/contracts';
import { noteVerifier, verifierKey, verifyExport } from '@remit/ledger';
import { expect, test } from 'vitest';
import { DISCLOSED, decision, messageOf } from '../test/messages.ts';
import { type TestService, testService } from '../test/service.ts';

const byIssuer = (n: number, changes: Partial<AuditRecord> = {}) =>
  messageOf(
    decision(n, {
      producer: { service: 'issuer', instance: 'i1', version: '0.1.0', boot: 'boot1', n },
      ...changes,
    }),
    'principal' in changes ? {} : DISCLOSED,
  );

async function withRecords(count: number): Promise<TestService> {
  const service = await testService({ checkpointSeconds: 3_600 });
  const marked = service.marked('boot1', count);
  await service.send(Array.from({ length: count }, (_, i) => byIssuer(i + 1)));
  await marked;
  return service;
}

/** Verifies with the pinned keys alone: neither the service nor its database is asked. */
const verify = (service: TestService, text: string, outside: readonly string[] = []) => {
  const verifiers = service.infra
    .trust()
    .keys.checkpoint.map((key) =>
      noteVerifier(verifierKey('remit.test/acme', createPublicKey({ key, format: 'jwk' }))),
    );
  const required = verifiers.map((one) => [one]);
  const origin = 'remit.test/acme';
  return verifyExport({ lines: text.split('\n'), origin, verifiers, required, outside });
};
const exported = async (service: TestService, query = ''): Promise<string> => {
  const response = await service.get(`/export${query}`);
  expect(response.statusCode, response.body).toBe(200);
  return response.body;
};

test('the whole ledger is exported with its proof, and the export itself is in it', async () => {
  await using service = await withRecords(7);
  const report = await verify(service, await exported(service));
  expect(report).toMatchObject({ ok: true, mode: 'whole', faults: [] });
  expect(report.signedBy).toHaveLength(2);
  await expect
    .poll(async () => (await verify(service, await exported(service))).records)
    .toBeGreaterThan(report.records);
});

test('a selection holds what was asked for, each record with its own proof', async () => {
  await using service = await withRecords(5);
  const text = await exported(
    service,
    '?user=alice&from=2026-01-15T12:00:02Z&to=2026-01-15T12:00:05Z',
  );
  expect(await verify(service, text)).toMatchObject({ ok: true, mode: 'selection', records: 3 });
  const forged = text.replace('suppliers.read', 'suppliers.peek');
  expect((await verify(service, forged)).faults[0]).toMatchObject({ kind: 'edit', seq: 2 });
  const none = await exported(service, `?task=${encodeURIComponent("' or 1=1 --")}`);
  expect(await verify(service, none)).toMatchObject({ ok: true, records: 0 });
});

test('what was done to the database shows in the export', async () => {
  await using service = await withRecords(8);
  const kept = [...(await exported(service)).matchAll(/^\{"checkpoint":(".*")\}$/gm)].map(
    ([, note]) => JSON.parse(note ?? '') as string,
  );
  await service.sql('alter table records no force row level security');
  const fault = async () => (await verify(service, await exported(service), kept)).faults[0];

  await service.sql(`update records set bytes = convert_to(
    replace(convert_from(bytes, 'UTF8'), 'S-100', 'S-999'), 'UTF8') where seq = 3`);
  expect(await fault()).toMatchObject({ kind: 'edit', seq: 3, upTo: 3 });
  await service.sql(`update records set bytes = convert_to(
    replace(convert_from(bytes, 'UTF8'), 'S-999', 'S-100'), 'UTF8') where seq = 3`);
  expect(await fault()).toBeUndefined();

  await service.sql('update records set seq = 1000 where seq = 2');
  await service.sql('update records set seq = 2 where seq = 5');
  await service.sql('update records set seq = 5 where seq = 1000');
  expect(await fault()).toMatchObject({ kind: 'reorder', seq: 2, upTo: 5 });
  await service.sql('update records set seq = 1000 where seq = 2');
  await service.sql('update records set seq = 2 where seq = 5');
  await service.sql('update records set seq = 5 where seq = 1000');

  await service.sql('delete from records where seq = 4');
  expect(await fault()).toMatchObject({ kind: 'delete', seq: 4, upTo: 4 });
  await service.sql('delete from records where seq > 3');
  expect(await fault()).toMatchObject({ kind: 'truncation', seq: 4 });
});

test('CSV is for people: the same records, one line each, and nothing that a spreadsheet runs', async () => {
  await using service = await testService();
  const marked = service.marked('boot1', 2);
  await service.send([
    byIssuer(1, { actor: '=cmd', act_chain: ['=cmd', 'b"\r\n'], reason: '@sum' }),
    byIssuer(2),
  ]);
  await marked;
  const text = await exported(service, '?format=csv&event=decision');
  const lines = text.split('\r\n');
  expect(lines).toHaveLength(4);
  expect(lines[0]).toMatch(/^"seq","time","event","decision","reason","user","agents"/);
  expect(lines[1]).toContain('"\'=cmd > b""  "');
  expect(lines[1]).toContain('"\'@sum"');
  expect(lines[2]).toContain('"alice"');
});

test('an export is for auditors, is asked for in known words, and leaves a record', async () => {
  await using service = await withRecords(1);
  expect((await service.get('/export', 'alice')).statusCode).toBe(403);
  expect((await service.app.http.inject({ url: '/t/acme/export' })).statusCode).toBe(401);
  for (const query of ['format=xml', 'task=%00', 'from=yesterday', 'limit=5', 'cursor=x']) {
    const response = await service.get(`/export?${query}`);
    expect(response.statusCode, query).toBe(400);
  }
  await exported(service, '?user=alice');
  await expect
    .poll(async () => {
      const { records } = (await service.get('/records?event=admin.query')).json();
      return records.map(({ record }: { record: AuditRecord }) => record.detail);
    })
    .toContainEqual({ route: '/t/:tenant/export', format: 'ndjson', by_user: true });
});
