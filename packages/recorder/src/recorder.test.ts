import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Bus, connectBus, createSigner, createVerifier, type Signer } from '@remit/bus';
import {
  type AuditMark,
  type AuditMessage,
  auditMessage,
  canonicalText,
  cloudEvent,
  conform,
  opens,
  recordText,
  SIGNED,
  streams,
  subjects,
} from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RecordInput } from './record-input.ts';
import { createRecorder, type Recorder, type RecorderOptions } from './recorder.ts';

const TOKEN = `${Buffer.from('{"alg":"ML-DSA-65"}').toString('base64url')}.${Buffer.from('{"c":"canary"}').toString('base64url')}.canarysignature`;
const ALLOW: RecordInput = { event: 'decision', decision: 'allow', reason: 'permitted' };
const MAX_LINE = 700;
const EVENT = cloudEvent(auditMessage);

let infra: TestInfra;
let audit: Bus;
let signer: Signer;
let bus: Bus;
let spoolDir: string;
let recorder: Recorder;
/** What the audit service's consumer was given, in order. */
const stored: { subject: string; text: string; msgId: string | undefined }[] = [];

beforeAll(async () => {
  infra = await testInfra();
  signer = createSigner(infra.signer('audit-bus'));
  audit = await connectBus({ url: infra.natsUrl, name: 'audit', ...infra.creds('audit') });
  await audit.ensureStream(streams.AUDIT);
  const reading = { stream: 'AUDIT', durable: 'ingest', consumer: {}, onError: () => {} };
  await audit.consume(reading, async (batch) => {
    for (const { subject, data, msgId } of batch) {
      stored.push({ subject, text: Buffer.from(data).toString(), msgId });
    }
  }).ready;
});
afterAll(async () => {
  await audit.close();
  await infra[Symbol.asyncDispose]();
});

beforeEach(async () => {
  stored.length = 0;
  bus = await connectBus({ url: infra.natsUrl, name: 'pep', ...infra.pepCreds('acme', 'erp-1') });
  spoolDir = mkdtempSync(join(infra.tmpDir, 'spool-'));
});
afterEach(async () => {
  await recorder?.close();
  await bus.close();
});

function open(options: Partial<RecorderOptions> = {}): Recorder {
  recorder = createRecorder({
    bus,
    producer: { service: bus.user, instance: 'i-1', version: '1.0.0' },
    spoolDir,
    markVerifier: createVerifier(infra.trust().keys.audit_mark),
    ...options,
  });
  return recorder;
}

/** The PEP's connection through a proxy that can be cut, frozen and slowed. */
async function throughProxy(): Promise<Awaited<ReturnType<TestInfra['throughProxy']>>['proxy']> {
  await bus.close();
  const { url, proxy } = await infra.throughProxy(infra.natsUrl);
  bus = await connectBus({ ...infra.pepCreds('acme', 'erp-1'), url, name: 'pep' });
  return proxy;
}

function sendMark(boot: string, n: number, change: Partial<AuditMark> = {}, by = signer): void {
  const mark: AuditMark = {
    tenant: 'acme',
    producer: 'erp-1',
    time: Date.now(),
    marks: [{ boot, n }],
    ...change,
  };
  audit.publish(subjects.auditMark('acme', 'erp-1'), by.sign(SIGNED.mark, JSON.stringify(mark)));
}

function messages(): AuditMessage[] {
  return stored.map(({ text }) => conform(EVENT, JSON.parse(text)).data);
}
const numbers = (): number[] => messages().map(({ record }) => record.producer.n);
const spooled = (dir = spoolDir): string =>
  readdirSync(dir)
    .filter((name) => name.endsWith('.spool'))
    .map((name) => readFileSync(join(dir, name), 'utf8'))
    .join('');

describe('a record', () => {
  it('holds commitments where personal values were, which travel beside it and open them', async () => {
    open({ clock: { now: () => 1_768_478_400_123.456 } });
    const { id, home } = await recorder.record('acme', {
      ...ALLOW,
      principal: 'alice',
      actor: 'procurement-agent',
      task: { id: 'task_1', type: 'supplier-risk-summary', purpose: 'because Alice asked' },
      operation: {
        action: 'orders.create',
        resource: 'erp/orders',
        args: { 'a/b~c': 'private', amount: 7 },
      },
      latency_us: 12,
    });
    expect(home).toBe('bus');
    await expect.poll(() => stored.length).toBe(1);
    expect(stored[0]).toMatchObject({ subject: 'remit.audit.acme.erp-1.decision', msgId: id });
    const text = stored[0]?.text ?? '';
    expect(text).toBe(canonicalText(JSON.parse(text)));
    expect(JSON.parse(text)).toMatchObject({
      specversion: '1.0',
      id,
      type: 'dev.remit.audit.decision.v1',
      source: 'urn:remit:erp-1',
      time: '2026-01-15T12:00:00.123456Z',
    });
    const { record, disclosures } = messages()[0] as AuditMessage;
    expect(record).toMatchObject({
      id,
      tenant: 'acme',
      event: 'decision',
      producer: {
        service: 'erp-1',
        instance: 'i-1',
        version: '1.0.0',
        boot: recorder.stats().boot,
        n: 1,
      },
      actor: 'procurement-agent',
      latency_us: 12,
    });
    const hashed = recordText(record);
    for (const value of ['alice', 'because', 'private']) expect(hashed).not.toContain(value);
    const places: [string, unknown, { c: string } | undefined][] = [
      ['/principal', 'alice', record.principal],
      ['/task/purpose', 'because Alice asked', record.task?.purpose],
      ['/operation/args/a~1b~0c', 'private', record.operation?.args?.['a/b~c']],
      ['/operation/args/amount', 7, record.operation?.args?.['amount']],
    ];
    expect(Object.keys(disclosures).toSorted()).toEqual(places.map(([place]) => place).toSorted());
    for (const [place, value, commitment] of places) {
      const disclosed = disclosures[place] as { salt: string; value: unknown };
      expect(disclosed.value).toBe(value);
      expect(Buffer.from(disclosed.salt, 'base64url').length).toBe(16);
      expect(opens(commitment as { c: string }, disclosed)).toBe(true);
    }
    expect(new Set(Object.values(disclosures).map(({ salt }) => salt)).size).toBe(4);
  });

  it('gets the next number of its boot, also when many are recorded at once', async () => {
    open();
    const all = await Promise.all(
      Array.from({ length: 200 }, () => recorder.record('acme', ALLOW)),
    );
    expect(new Set(all.map(({ id }) => id)).size).toBe(200);
    await expect.poll(() => stored.length).toBe(200);
    expect(numbers().toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
  });

  it('is refused when it is no record, and takes no number', async () => {
    open();
    const bad: [RecordInput, string][] = [
      [
        { ...ALLOW, decision: 'maybe' as never },
        'not an audit record: /decision must be equal to one of the allowed values',
      ],
      [
        { ...ALLOW, more: 1 } as never,
        'not an audit record: / must NOT have additional properties',
      ],
      [{ ...ALLOW, id: 'a b' }, 'id is not a record id'],
      [
        { ...ALLOW, operation: { action: 'a', resource: 'r', args: { x: Number.NaN } } },
        'not an audit record: value has no canonical form',
      ],
      [{ ...ALLOW, actor: '\ud800' }, 'the record has no canonical form'],
    ];
    for (const [input, message] of bad) {
      await expect(recorder.record('acme', input)).rejects.toMatchObject({
        code: 'RECORD_INVALID',
        message,
      });
    }
    await expect(recorder.record('a.b', ALLOW)).rejects.toMatchObject({ code: 'ID_INVALID' });
    await recorder.record('acme', ALLOW);
    await expect.poll(() => stored.length).toBe(1);
    expect(numbers()).toEqual([1]);
  });

  // Red when draftRecord() no longer scrubs its input.
  it('never carries a token, a proof or a key, whoever put it where', async () => {
    open();
    await recorder.record('acme', {
      ...ALLOW,
      principal: TOKEN,
      operation: {
        action: `a ${TOKEN}`,
        resource: 'r',
        args: { [TOKEN]: TOKEN, deep: [{ x: TOKEN }] },
      },
      detail: { header: `DPoP ${TOKEN}` },
    });
    await expect.poll(() => stored.length).toBe(1);
    for (const text of [stored[0]?.text ?? '', spooled()]) {
      expect(text).toContain('[removed]');
      for (const secret of [TOKEN, ...TOKEN.split('.')]) expect(text).not.toContain(secret);
    }
    expect(recorder.stats().scrubbed).toBeGreaterThan(0);
  });
});

describe('a commit mark', () => {
  it('takes out everything up to its number, and the files go with it', async () => {
    open();
    for (let i = 0; i < 3; i++) await recorder.record('acme', ALLOW);
    const { boot } = recorder.stats();
    expect(recorder.stats()).toMatchObject({ pending: 3, marked: 0 });
    sendMark(boot, 2);
    await expect.poll(() => recorder.stats().pending).toBe(1);
    sendMark(boot, 1);
    sendMark(boot, 3);
    await expect
      .poll(() => recorder.stats())
      .toMatchObject({ pending: 0, marked: 3, liveBytes: 0 });
    await recorder.close();
    expect(readdirSync(spoolDir)).toEqual([]);
  });

  // Each takes the record out when its check in readMark() or followMarks() is removed.
  it('is believed only from the audit service, for this tenant, this producer and what was written', async () => {
    open();
    await recorder.record('acme', ALLOW);
    const { boot } = recorder.stats();
    const subject = subjects.auditMark('acme', 'erp-1');
    sendMark(boot, 1, {}, createSigner(infra.signer('audit-checkpoint')));
    sendMark(boot, 1, { tenant: 'globex' });
    sendMark(boot, 1, { producer: 'erp-2' });
    sendMark(boot, 1, { more: 1 } as never);
    sendMark(boot, 2);
    const mark = { tenant: 'acme', producer: 'erp-1', time: 1, marks: [{ boot, n: 1 }] };
    audit.publish(subject, signer.sign(SIGNED.beat, JSON.stringify(mark)));
    audit.publish(subject, JSON.stringify(mark));
    await expect.poll(() => recorder.stats().marksRefused).toBe(7);
    expect(recorder.stats()).toMatchObject({ pending: 1, marked: 0 });
    expect(spooled()).toContain(boot);
    sendMark(boot, 1);
    await expect.poll(() => recorder.stats().pending).toBe(0);
  });

  it('is what a strict recorder waits for, and without it nothing happens', async () => {
    open({ strict: true, limits: { strictTimeoutMs: 300 } });
    await expect(recorder.record('acme', ALLOW)).rejects.toMatchObject({
      code: 'AUDIT_UNAVAILABLE',
      message: 'no commit mark in time',
    });
    const kept = recorder.record('acme', ALLOW);
    await expect.poll(() => stored.length).toBe(2);
    sendMark(recorder.stats().boot, 2);
    expect(await kept).toMatchObject({ home: 'ledger' });
  });
});

describe('without the bus', () => {
  it('a record is kept when it is synced to the disk, and reaches the stream after the bus came back', async () => {
    const proxy = await throughProxy();
    open();
    await recorder.record('acme', ALLOW);
    proxy.cut();
    await expect.poll(() => bus.status()).toBe('disconnected');
    const began = performance.now();
    const kept = await Promise.all(
      Array.from({ length: 20 }, () => recorder.record('acme', ALLOW)),
    );
    expect(kept.every(({ home }) => home === 'spool')).toBe(true);
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(spooled().trim().split('\n').length).toBe(21);
    expect(stored.length).toBe(1);
    proxy.heal();
    await expect.poll(() => stored.length, { timeout: 10_000 }).toBe(21);
    expect(numbers().toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 21 }, (_, i) => i + 1),
    );
  });

  it('or with a slow one the disk stands in after 250 ms, then at once, until the bus is fast again', async () => {
    const proxy = await throughProxy();
    open();
    proxy.delay(200);
    const began = performance.now();
    expect((await recorder.record('acme', ALLOW)).home).toBe('spool');
    const waitedMs = performance.now() - began;
    expect(waitedMs).toBeGreaterThanOrEqual(245);
    expect(waitedMs).toBeLessThan(1_000);
    const again = performance.now();
    expect((await recorder.record('acme', ALLOW)).home).toBe('spool');
    expect(performance.now() - again).toBeLessThan(200);
    proxy.delay(0);
    const homeNow = async (): Promise<string> => (await recorder.record('acme', ALLOW)).home;
    await expect.poll(homeNow, { timeout: 5_000 }).toBe('bus');
  });

  it('what no mark passes is published again, the same bytes under the same id', async () => {
    // A stream that forgets ids as fast as it may, so that the second copy is seen.
    await audit.ensureStream({ ...streams.AUDIT, duplicateWindowSeconds: 0.1 });
    open({ limits: { republishAfterMs: 200 } });
    const { id } = await recorder.record('acme', ALLOW);
    await expect.poll(() => stored.length, { timeout: 10_000 }).toBeGreaterThan(1);
    await audit.ensureStream(streams.AUDIT);
    expect(stored[1]?.text).toBe(stored[0]?.text);
    expect(stored[1]?.msgId).toBe(id);
    sendMark(recorder.stats().boot, 1);
    await expect.poll(() => recorder.stats().pending).toBe(0);
    const { republished } = recorder.stats();
    expect(republished).toBeGreaterThan(0);
  });

  // Kept as `bus` when the answer `duplicate` counts as an acknowledgement.
  it('an id that somebody else used first is no home, and is reported', async () => {
    const warnings: string[] = [];
    open({ log: { warn: (_fields, message) => warnings.push(message) } });
    await audit.publishRecord('remit.audit.acme.audit.decision', 'junk', 'poisoned');
    expect(await recorder.record('acme', { ...ALLOW, id: 'poisoned' })).toEqual({
      id: 'poisoned',
      home: 'spool',
    });
    expect(recorder.stats()).toMatchObject({ duplicates: 1, pending: 1 });
    expect(warnings).toEqual(['recorder: the id of a new record was in the stream already']);
  });
});

describe('the next start', () => {
  it('publishes what the last one left, cuts a torn tail, and deletes files when they are marked', async () => {
    const proxy = await throughProxy();
    open();
    proxy.cut();
    await expect.poll(() => bus.status()).toBe('disconnected');
    for (let i = 0; i < 5; i++) await recorder.record('acme', ALLOW);
    const { boot } = recorder.stats();
    const crashed = mkdtempSync(join(infra.tmpDir, 'crashed-'));
    cpSync(spoolDir, crashed, { recursive: true });
    const [file = ''] = readdirSync(crashed).filter((name) => name.endsWith('.spool'));
    truncateSync(join(crashed, file), readFileSync(join(crashed, file)).length - 10);
    const first = recorder;
    await bus.close();
    await first.close();

    bus = await connectBus({ url: infra.natsUrl, name: 'pep', ...infra.pepCreds('acme', 'erp-1') });
    open({ spoolDir: crashed });
    expect(recorder.stats()).toMatchObject({ pending: 4, corrupt: 0 });
    expect(recorder.stats().boot).not.toBe(boot);
    await expect.poll(() => stored.length).toBe(4);
    expect(numbers().toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4]);
    expect(messages().every(({ record }) => record.producer.boot === boot)).toBe(true);
    await recorder.record('acme', ALLOW);
    sendMark(boot, 4, {
      marks: [
        { boot, n: 4 },
        { boot: recorder.stats().boot, n: 1 },
      ],
    });
    await expect.poll(() => recorder.stats().pending).toBe(0);
    expect(readdirSync(crashed)).not.toContain(file);
    await recorder.close();
    expect(readdirSync(crashed)).toEqual([]);
  });

  it('counts a damaged line and brings the others', async () => {
    open();
    for (let i = 0; i < 3; i++) await recorder.record('acme', ALLOW);
    await expect.poll(() => stored.length).toBe(3);
    const damaged = mkdtempSync(join(infra.tmpDir, 'damaged-'));
    const [file = ''] = readdirSync(spoolDir).filter((name) => name.endsWith('.spool'));
    copyFileSync(join(spoolDir, file), join(damaged, file));
    const lines = readFileSync(join(damaged, file), 'utf8').split('\n');
    lines[1] = lines[1]?.replace('permitted', 'permitteX') ?? '';
    writeFileSync(join(damaged, file), lines.join('\n'));
    const first = recorder;
    open({ spoolDir: damaged });
    expect(recorder.stats()).toMatchObject({ pending: 2, corrupt: 1 });
    await first.close();
  });

  it('is not possible in a folder that another recorder writes to, or that can not be used', async () => {
    open();
    const used = recorder;
    expect(() => open()).toThrow(
      expect.objectContaining({
        code: 'SPOOL_IN_USE',
        message: 'another process writes to this spool',
      }),
    );
    expect(() => open({ spoolDir: join(infra.trustFile, 'below-a-file') })).toThrow(
      expect.objectContaining({ code: 'SPOOL_UNUSABLE' }),
    );
    expect(() => open({ producer: { service: 'erp-2', instance: 'i', version: '1' } })).toThrow(
      expect.objectContaining({
        code: 'OPTION_INVALID',
        message: 'producer.service is not the user of the bus',
      }),
    );
    recorder = used;
    await used.close();
    await expect(used.record('acme', ALLOW)).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('a full spool', () => {
  it('refuses, keeps a share for verified callers, leaves no gap, and takes again after a mark', async () => {
    const proxy = await throughProxy();
    open({ limits: { maxSpoolBytes: MAX_LINE * 20, verifiedShare: 0.5 } });
    proxy.cut();
    await expect.poll(() => bus.status()).toBe('disconnected');
    const fill = async (trust: 'verified' | 'stranger'): Promise<number> => {
      for (let kept = 0; ; kept++) {
        const error = await recorder.record('acme', { ...ALLOW, trust }).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (error === undefined) continue;
        expect(error).toMatchObject({ code: 'AUDIT_UNAVAILABLE', message: 'the spool is full' });
        return kept;
      }
    };
    const strangers = await fill('stranger');
    const verified = await fill('verified');
    expect(strangers).toBeGreaterThan(5);
    expect(verified).toBeGreaterThanOrEqual(strangers - 1);
    expect(recorder.stats().liveBytes).toBeLessThanOrEqual(MAX_LINE * 20);
    proxy.heal();
    const all = strangers + verified;
    await expect.poll(() => stored.length, { timeout: 10_000 }).toBe(all);
    expect(numbers().toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: all }, (_, i) => i + 1),
    );
    sendMark(recorder.stats().boot, all);
    await expect.poll(() => recorder.stats().pending).toBe(0);
    await recorder.record('acme', { ...ALLOW, trust: 'stranger' });
    await expect.poll(() => numbers().at(-1)).toBe(all + 1);
  });
});

describe('strangers', () => {
  it('are counted: one record per source, reason and window', async () => {
    open({ limits: { strangerWindowMs: 50 } });
    for (let i = 0; i < 500; i++) {
      recorder.countStranger('acme', { source: '10.0.0.1', reason: 'token_signature' });
      recorder.countStranger('acme', { source: '10.0.0.1', reason: 'token_missing' });
      recorder.countStranger('acme', { source: '10.0.0.2', reason: 'token_signature' });
    }
    await expect.poll(() => stored.length).toBe(3);
    const counted = messages().map(({ record, disclosures }) => [
      disclosures['/source']?.value,
      record.reason,
      record.decision,
      record.count,
    ]);
    expect(counted).toHaveLength(3);
    expect(counted).toEqual(
      expect.arrayContaining([
        ['10.0.0.1', 'token_missing', 'deny', 500],
        ['10.0.0.1', 'token_signature', 'deny', 500],
        ['10.0.0.2', 'token_signature', 'deny', 500],
      ]),
    );
    expect(recordText((messages()[0] as AuditMessage).record)).not.toContain('10.0.0');
  });

  it('can not make more records by coming from many places, and none is left out of the count', async () => {
    open({ limits: { strangerWindowMs: 60_000 } });
    for (let i = 0; i < 5_000; i++) {
      recorder.countStranger('acme', {
        source: `10.0.${i >> 8}.${i & 255}`,
        reason: 'token_signature',
      });
    }
    await recorder.close();
    await expect.poll(() => stored.length).toBe(65);
    expect(messages().reduce((sum, { record }) => sum + (record.count ?? 0), 0)).toBe(5_000);
    expect(messages().map(({ disclosures }) => disclosures['/source']?.value)).toContain('many');
  });
});
