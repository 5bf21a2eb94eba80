import { join } from 'node:path';
import { connectBus, createVerifier } from '@remit/bus';
import { type AuditRecord, checkpointMessage, conform, SIGNED } from '@remit/contracts';
import {
  leafHash,
  noteVerifier,
  openCheckpoint,
  openNote,
  parseVkey,
  verifyInclusion,
} from '@remit/ledger';
import { createRecorder } from '@remit/recorder';
import { expect, test } from 'vitest';
import { build } from './app.ts';
import { DISCLOSED, decision, messageOf } from './test/messages.ts';
import { testService } from './test/service.ts';

/** Decisions that the issuer made, as the messages of its n-th records. */
const byIssuer = (n: number, changes: Partial<AuditRecord> = {}, boot = 'boot1') =>
  messageOf(
    decision(n, {
      producer: { service: 'issuer', instance: 'i1', version: '0.1.0', boot, n },
      ...changes,
    }),
    'principal' in changes ? {} : DISCLOSED,
  );

test('a record goes from its producer’s spool to the ledger, and the signed mark empties the spool', async () => {
  await using service = await testService();
  const recorder = createRecorder({
    bus: service.issuer,
    producer: { service: 'issuer', instance: 'i1', version: '0.1.0' },
    spoolDir: join(service.infra.tmpDir, 'spool-issuer'),
    markVerifier: createVerifier(service.infra.trust().keys.audit_mark),
  });
  const { boot } = recorder.stats();
  const marked = service.marked(boot, 2);
  await recorder.record('acme', { event: 'token.issued', decision: 'allow', principal: 'alice' });
  await recorder.record('acme', { event: 'token.refused', decision: 'deny', reason: 'task_scope' });
  const mark = await marked;
  expect(mark).toMatchObject({ tenant: 'acme', producer: 'issuer', marks: [{ boot, n: 2 }] });
  await expect.poll(() => recorder.stats().pending).toBe(0);
  await recorder.close();

  const response = await service.get('/records?user=alice');
  expect(response.statusCode).toBe(200);
  expect(response.json().records).toMatchObject([
    { event: 'token.issued', user: 'alice', decision: 'allow' },
  ]);
});

test('what was sent while the service was down is in the ledger when it is back', async () => {
  await using service = await testService();
  await service.app.stop();
  await service.send([1, 2].map((n) => byIssuer(n)));
  const marked = service.marked('boot1', 2);
  const replica = await build(service.config, { fetch: service.people.fetch });
  await replica.start();
  await marked;
  expect(await service.sql('select seq from records')).toHaveLength(2);
  await replica.stop();
});

test('a bus user can’t put a record under another producer’s name', async () => {
  await using service = await testService();
  const foreign = decision(1);
  const { data } = messageOf(foreign);
  const marked = service.marked('boot1', 1);
  await service.send([{ subject: 'remit.audit.acme.issuer.decision', data }, byIssuer(1)]);
  await marked;
  expect(await service.sql('select reason from quarantine')).toEqual([
    { reason: 'PRODUCER_MISMATCH' },
  ]);
  expect(await service.sql('select producer from records')).toEqual([{ producer: 'issuer' }]);
  await expect(
    service.issuer.publishRecord('remit.audit.acme.erp-1.decision', data, 'x', {
      timeoutMs: 100,
      retries: 0,
    }),
  ).rejects.toThrow(expect.objectContaining({ code: 'PERMISSION_DENIED' }));
});

test('a gap in a producer’s numbers is an alarm within seconds', async () => {
  await using service = await testService();
  const marked = service.marked('boot1', 1);
  await service.send([byIssuer(1), byIssuer(3)]);
  const { marks } = await marked;
  expect(marks).toEqual([{ boot: 'boot1', n: 1 }]);
  await expect
    .poll(() => service.alarms.find(({ alarm }) => alarm === 'gap'), { timeout: 5_000 })
    .toMatchObject({ tenant: 'acme', producer: 'issuer', boot: 'boot1', from: 2, to: 2 });
  const metrics = await service.app.http.inject({ url: '/metrics' });
  expect(metrics.body).toContain('remit_audit_number_gaps 1');
});

test('a checkpoint is announced on the bus, and its note verifies with the pinned key', async () => {
  await using service = await testService();
  const { user, seed } = service.infra.creds('operator');
  const operator = await connectBus({ url: service.infra.natsUrl, user, seed, name: 'witness' });
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  operator.subscribe('remit.checkpoint.acme', (_subject, bytes) => resolve(bytes));
  await operator.flush();
  await service.send([1, 2, 3, 4].map((n) => byIssuer(n)));
  const verifier = createVerifier(service.infra.trust().keys.audit_mark);
  const payload = verifier.verify(SIGNED.checkpoint, await promise);
  const message = conform(checkpointMessage, JSON.parse(Buffer.from(payload).toString()));
  expect(message.tenant).toBe('acme');
  const told = (await service.get('/checkpoint')).json();
  const verifiers = told.vkeys.map((vkey: string) => noteVerifier(parseVkey(vkey)));
  expect(openNote(message.note, verifiers).signedBy).toHaveLength(2);
  const checkpoint = openCheckpoint(message.note, { origin: 'remit.test/acme', verifiers });
  expect(checkpoint.size).toBeGreaterThan(0);
  await operator.close();
});

test('an auditor asks by task, agent, user, event, decision, reason and time, page by page', async () => {
  await using service = await testService();
  const marked = service.marked('boot1', 6);
  await service.send([
    byIssuer(1),
    byIssuer(2, { decision: 'deny', reason: 'scope_action' }),
    byIssuer(3, { task: { id: 'task_2', type: 'other' } }),
    byIssuer(4, { act_chain: ['procurement-agent', 'risk-analyst'], actor: 'risk-analyst' }),
    byIssuer(5, { event: 'call.finished' }),
    byIssuer(6),
  ]);
  await marked;
  const numbers = async (query: string): Promise<number[]> => {
    const response = await service.get(`/records?event=decision&${query}`);
    expect(response.statusCode, response.body).toBe(200);
    return response.json().records.map(({ record }: { record: AuditRecord }) => record.producer.n);
  };
  expect(await numbers('')).toEqual([6, 4, 3, 2, 1]);
  expect(await numbers('task=task_2')).toEqual([3]);
  expect(await numbers('agent=risk-analyst')).toEqual([4]);
  expect(await numbers('agent=procurement-agent')).toEqual([6, 4, 3, 2, 1]);
  expect(await numbers('user=alice')).toEqual([6, 4, 3, 2, 1]);
  expect(await numbers('user=bob')).toEqual([]);
  expect(await numbers('decision=deny')).toEqual([2]);
  expect(await numbers('reason=scope_action')).toEqual([2]);
  expect(await numbers('from=2026-01-15T12:00:03Z&to=2026-01-15T12:00:06Z')).toEqual([4, 3]);
  const injected = encodeURIComponent("' or 1=1 --");
  expect(await numbers(`task=${injected}`)).toEqual([]);

  const first = (await service.get('/records?event=decision&limit=2')).json();
  expect(first.records.map(({ seq }: { seq: number }) => seq)).toHaveLength(2);
  const second = (await service.get(`/records?event=decision&limit=3&cursor=${first.next}`)).json();
  expect(second.records.map(({ record }: { record: AuditRecord }) => record.producer.n)).toEqual([
    3, 2, 1,
  ]);
  expect(second.next).toBeUndefined();

  const [found] = first.records;
  expect(found).toMatchObject({ user: 'alice', user_erased: false, agents: ['procurement-agent'] });
  expect(found.line).toBe(
    '2026-01-15T12:00:06.000000Z ALLOW alice → procurement-agent decision: suppliers.read ' +
      'erp/suppliers/S-100 (permitted) task supplier-risk-summary task_1',
  );
  expect(found.values).toEqual({ '/principal': 'alice', '/operation/args/note': 'a/b' });
  await service.sql('alter table disclosures no force row level security');
  await service.sql('delete from disclosures');
  const erased = (await service.get(`/records/${found.id}`)).json();
  expect(erased).toMatchObject({ user: null, user_erased: true, values: {} });
  expect(erased.line).toContain('(erased)');
});

test('a record is proved with nothing but its bytes, the proof and the log’s key', async () => {
  await using service = await testService();
  const messages = [1, 2, 3].map((n) => byIssuer(n));
  const marked = service.marked('boot1', 3);
  await service.send(messages);
  await marked;
  const { records } = (await service.get('/records?event=decision')).json();
  const response = await service.get(`/records/${records[1].id}/proof`);
  const proof = response.json();
  const { size, root } = openCheckpoint(proof.note, {
    origin: 'remit.test/acme',
    verifiers: proof.vkeys.map((vkey: string) => noteVerifier(parseVkey(vkey))),
  });
  const claim = {
    leaf: leafHash(Buffer.from(proof.bytes, 'base64')),
    index: proof.index,
    size,
    root,
    proof: proof.proof.map((hash: string) => Buffer.from(hash, 'base64')),
  };
  expect(proof.seq).toBe(records[1].seq);
  expect(verifyInclusion(claim)).toBe(true);
  expect(verifyInclusion({ ...claim, leaf: leafHash(Buffer.from('other')) })).toBe(false);
});

test('verify finds a row that was changed behind its back, and none after it is put back', async () => {
  await using service = await testService();
  const marked = service.marked('boot1', 3);
  await service.send([1, 2, 3].map((n) => byIssuer(n)));
  await marked;
  expect((await service.get('/verify')).json()).toMatchObject({ ok: true, fault: null });
  await service.sql(`update records set bytes = convert_to(
    replace(convert_from(bytes, 'UTF8'), '"decision":"allow"', '"decision":"deny"'), 'UTF8') where seq = 2`);
  expect((await service.get('/verify')).json()).toMatchObject({
    ok: false,
    fault: { seq: 2, upTo: 2, kind: 'edit' },
  });
  await service.sql(`update records set bytes = convert_to(
    replace(convert_from(bytes, 'UTF8'), '"decision":"deny"', '"decision":"allow"'), 'UTF8') where seq = 2`);
  expect((await service.get('/verify')).json()).toMatchObject({ ok: true, fault: null });
  await service.sql("update records set bytes = 'x' where seq = 2");
  const { records } = (await service.get('/records')).json();
  expect(records.find(({ seq }: { seq: number }) => seq === 2)).toMatchObject({
    record: null,
    line: 'record 2 is damaged: verify the ledger',
  });
});

test('only auditors and administrators of the tenant may ask, and asking leaves a record', async () => {
  await using service = await testService();
  for (const path of ['/records', '/records/x', '/records/x/proof', '/verify', '/checkpoint']) {
    const nobody = await service.app.http.inject({ url: `/t/acme${path}` });
    expect(nobody.statusCode, path).toBe(401);
    expect(nobody.json()).toMatchObject({ code: 'UNAUTHENTICATED' });
    const alice = await service.get(path, 'alice');
    expect(alice.statusCode, path).toBe(403);
    expect(alice.json()).toMatchObject({ code: 'FORBIDDEN' });
  }
  const elsewhere = await service.people.signIn('erin', 'http://other.test/t/acme');
  const wrong = await service.app.http.inject({ url: '/t/acme/records', headers: elsewhere });
  expect(wrong.statusCode).toBe(401);
  expect((await service.get('/records', 'dora')).statusCode).toBe(200);
  await expect
    .poll(async () => {
      const { records } = (await service.get('/records?event=admin.query&user=dora')).json();
      return records.length;
    })
    .toBe(1);
  const refused = (await service.get('/records?event=admin.refused&limit=200')).json();
  expect(refused.records).toHaveLength(5);
  expect(refused.records[0]).toMatchObject({ decision: 'deny', reason: 'person_not_allowed' });
});

test('bad input is refused with its own error, and nothing is read', async () => {
  await using service = await testService();
  for (const query of [
    'limit=0',
    'limit=201',
    'limit=NaN',
    'limit=5&limit=6',
    'limit=1e9',
    'unknown=1',
    'task=',
    'task=%00',
    'decision=maybe',
    'from=yesterday',
    'from=2026-13-01T00:00:00Z',
    'cursor=xx',
    'cursor=-1',
    `agent=${'x'.repeat(300)}`,
    '__proto__=1',
  ]) {
    const response = await service.get(`/records?${query}`);
    expect(response.statusCode, query).toBe(400);
    expect(response.json(), query).toMatchObject({ code: 'INVALID_REQUEST' });
  }
  expect((await service.get('/records/a%20b')).statusCode).toBe(400);
  expect((await service.get('/records/nobody')).json()).toMatchObject({ code: 'NOT_FOUND' });
  const posted = await service.app.http.inject({ method: 'POST', url: '/t/acme/records' });
  expect(posted.statusCode).toBe(405);
  const tenant = await service.app.http.inject({ url: '/t/ACME/records' });
  expect(tenant.json()).toMatchObject({ code: 'TENANT_UNKNOWN' });
  // A query that is answered leaves a record: here only the one for what there is not.
  await expect
    .poll(() => service.sql("select record->'detail'->>'id' as id from records"))
    .toEqual([{ id: 'nobody' }]);
});

test('it publishes its signing keys and more than ten metrics of its own', async () => {
  await using service = await testService();
  const { keys } = (await service.app.http.inject({ url: '/.well-known/jwks.json' })).json();
  const { audit_mark: mark, checkpoint } = service.infra.trust().keys;
  expect(keys.map(({ x, pub }: { x?: string; pub?: string }) => x ?? pub)).toEqual([
    mark[0]?.x,
    checkpoint[0]?.x,
    checkpoint[1]?.pub,
  ]);
  const { body } = await service.app.http.inject({ url: '/metrics' });
  const names = [...body.matchAll(/^# TYPE (remit_audit_\w+)/gm)].map(([, name]) => name);
  expect(new Set(names)).toEqual(
    new Set([
      'remit_audit_anchor_behind_seconds',
      'remit_audit_anchor_failures_total',
      'remit_audit_anchored_total',
      'remit_audit_batch_seconds',
      'remit_audit_checkpoints_refused_total',
      'remit_audit_checkpoints_total',
      'remit_audit_conflicts_total',
      'remit_audit_duplicates_total',
      'remit_audit_marks_total',
      'remit_audit_number_gaps',
      'remit_audit_numbers_reused_total',
      'remit_audit_pending',
      'remit_audit_quarantined_total',
      'remit_audit_records_total',
      'remit_audit_verified_total',
    ]),
  );
});
