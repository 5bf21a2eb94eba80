import { readdirSync } from 'node:fs';
import { createSigner } from '@remit/bus';
import {
  type AuditMessage,
  canonicalText,
  opens,
  recordText,
  SIGNED,
  subjects,
} from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import type { RecordInput } from './record-input.ts';
import {
  ALLOW,
  audit,
  infra,
  messages,
  numbers,
  open,
  recorder,
  sendMark,
  spoolDir,
  spooled,
  stored,
  useRecorder,
} from './recorder.testing.ts';

const TOKEN = `${Buffer.from('{"alg":"ML-DSA-65"}').toString('base64url')}.${Buffer.from('{"c":"canary"}').toString('base64url')}.canarysignature`;

useRecorder();

const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);

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
    expect(numbers()).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
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
      [
        { ...ALLOW, operation: { action: 'a', resource: 'r', args: { x: nested(27) } } },
        'not an audit record: a value is nested too deep',
      ],
      [
        {
          ...ALLOW,
          operation: { action: 'a', resource: 'r', args: { x: '\u0001'.repeat(250_000) } },
        },
        'not an audit record: its values are too large',
      ],
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
    sendMark(boot, 1, {}, createSigner(infra.signer('revocation-bus')));
    sendMark(boot, 1, { tenant: 'globex' });
    sendMark(boot, 1, { producer: 'erp-2' });
    sendMark(boot, 1, { more: 1 } as never);
    sendMark(boot, 2);
    const mark = { tenant: 'acme', producer: 'erp-1', time: 1, marks: [{ boot, n: 1 }] };
    sendMark(boot, 1, {}, undefined, SIGNED.beat);
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

describe('the clock', () => {
  it('is compared with the ledger’s by each newer mark, and the next record says the difference', async () => {
    let now = Date.now();
    open({ clock: { now: () => now } });
    const { boot } = recorder.stats();
    await recorder.record('acme', ALLOW);
    sendMark(boot, 1, { time: now + 40_000 });
    await expect.poll(() => recorder.stats().pending).toBe(0);
    await recorder.record('acme', ALLOW);
    sendMark(boot, 1, { time: now });
    sendMark(boot, 2, { time: now + 1 });
    await expect.poll(() => recorder.stats().pending).toBe(0);
    now += 60_000;
    await recorder.record('acme', ALLOW);
    await expect.poll(() => messages().length).toBe(3);
    expect(messages().map(({ record }) => record.clock_offset_ms)).toEqual([
      undefined,
      -40_000,
      -40_000,
    ]);
  });
});
