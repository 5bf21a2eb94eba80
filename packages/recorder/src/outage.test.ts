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
import { streams } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import {
  ALLOW,
  audit,
  bus,
  infra,
  messages,
  numbers,
  open,
  reconnect,
  recorder,
  sendMark,
  spoolDir,
  spooled,
  stored,
  throughProxy,
  useRecorder,
} from './recorder.testing.ts';

const MAX_LINE = 700;

useRecorder();

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
    expect(numbers()).toEqual(Array.from({ length: 21 }, (_, i) => i + 1));
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

    await reconnect();
    open({ spoolDir: crashed });
    expect(recorder.stats()).toMatchObject({ pending: 4, corrupt: 0 });
    expect(recorder.stats().boot).not.toBe(boot);
    await expect.poll(() => stored.length).toBe(4);
    expect(numbers()).toEqual([1, 2, 3, 4]);
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
    expect(numbers()).toEqual(Array.from({ length: all }, (_, i) => i + 1));
    sendMark(recorder.stats().boot, all);
    await expect.poll(() => recorder.stats().pending).toBe(0);
    await recorder.record('acme', { ...ALLOW, trust: 'stranger' });
    await expect.poll(() => numbers().at(-1)).toBe(all + 1);
  });
});
