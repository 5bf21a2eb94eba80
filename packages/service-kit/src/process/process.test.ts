import { Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createHealth, NotReady } from './health.ts';
import { createLifecycle } from './lifecycle.ts';
import { createLogger } from './log.ts';
import { createMetrics } from './metrics.ts';

function capture() {
  const lines: string[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const log = createLogger({ service: 'test', instance: 'i1', level: 'debug', destination });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('a log line', () => {
  it('is one JSON object with an RFC 3339 time, a level name, a message and the service', () => {
    const { log, last } = capture();
    log.info({ tenant: 'acme' }, 'hello');
    expect(last()).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      service: 'test',
      instance: 'i1',
      tenant: 'acme',
      msg: 'hello',
    });
  });

  // Red without `redact` (names) or without `scrub` (shapes).
  it('holds no secret, by name or by shape', () => {
    const { log, lines } = capture();
    const token = 'eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl';
    const seed = `SU${'A'.repeat(56)}`;
    log.info({ authorization: 'x-secret-1', req: { headers: { dpop: 'x-secret-2' } } }, 'a');
    log.info(
      { natsSeed: 'x-secret-3', config: { databaseUrl: 'x-secret-4', d: 'x-secret-5' } },
      'b',
    );
    log.info({ url: 'postgres://remit:x-secret-6@db/remit' }, `bearer is Bearer x-secret-7-long`);
    log.error(
      { err: new Error(`bad token ${token}`, { cause: new Error(`seed ${seed}`) }) },
      token,
    );
    const all = lines.join('');
    expect(all).not.toContain('x-secret');
    expect(all).not.toContain(token);
    expect(all).not.toContain(seed);
    expect(all).toContain('postgres://remit:[redacted]@db/remit');
  });

  it('tells an error with its code, its details and its cause', () => {
    const { log, last } = capture();
    const error = Object.assign(new Error('outer', { cause: new Error('inner') }), {
      code: 'SOME_CODE',
      details: { n: 1 },
    });
    log.warn({ err: error }, 'failed');
    expect(last().err).toMatchObject({
      type: 'Error',
      message: 'outer',
      code: 'SOME_CODE',
      details: { n: 1 },
      stack: expect.stringContaining('outer'),
      cause: { type: 'Error', message: 'inner' },
    });
  });
});

describe('a stop', () => {
  it('goes phase by phase, last registered first, and is one stop however often it is asked for', async () => {
    const { log } = capture();
    const lifecycle = createLifecycle({ log });
    const order: string[] = [];
    const add = (phase: Parameters<typeof lifecycle.onStop>[0], name: string): void =>
      lifecycle.onStop(phase, name, async () => {
        await Promise.resolve();
        order.push(name);
      });
    add('database', 'database');
    add('bus', 'bus');
    add('http', 'http');
    add('recorder', 'recorder');
    add('consumers', 'consumer 1');
    add('consumers', 'consumer 2');
    lifecycle.onStopping(() => order.push('not ready'));
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    expect(order).toEqual([
      'not ready',
      'consumer 2',
      'consumer 1',
      'http',
      'recorder',
      'bus',
      'database',
    ]);
  });

  it('is not held up by a part that fails or hangs', async () => {
    vi.useFakeTimers();
    const { log, lines } = capture();
    const lifecycle = createLifecycle({ log, phaseTimeoutMs: 1_000 });
    const ended: string[] = [];
    lifecycle.onStop('http', 'hangs', () => new Promise(() => undefined));
    lifecycle.onStop('bus', 'fails', () => Promise.reject(new Error('broken')));
    lifecycle.onStop('database', 'ends', () => void ended.push('database'));
    const stopped = lifecycle.stop();
    await vi.advanceTimersByTimeAsync(1_000);
    await stopped;
    expect(ended).toEqual(['database']);
    expect(lines.map((line) => (JSON.parse(line) as { part: string }).part)).toEqual([
      'hangs',
      'fails',
    ]);
  });
});

describe('readiness', () => {
  it('needs every dependency, names the one that is away, and comes back by itself', async () => {
    const { log } = capture();
    const health = createHealth({ log });
    let away = false;
    health.add('database', () => undefined);
    health.add('bus', () => {
      if (away) throw new NotReady('the bus is disconnected');
    });
    expect(health.readiness().ready).toBe(false);
    expect((await health.poll()).ready).toBe(true);
    away = true;
    expect(await health.poll()).toEqual({
      ready: false,
      checks: { database: { ok: true }, bus: { ok: false, reason: 'the bus is disconnected' } },
    });
    away = false;
    expect((await health.poll()).ready).toBe(true);
    health.stop();
    expect(health.readiness()).toMatchObject({ ready: false, checks: { process: { ok: false } } });
  });

  it('is lost within 2 s when a dependency hangs', async () => {
    vi.useFakeTimers();
    const { log } = capture();
    const health = createHealth({ log });
    let hang = false;
    health.add('database', () => (hang ? new Promise<void>(() => undefined) : undefined));
    await health.poll();
    health.start();
    hang = true;
    await vi.advanceTimersByTimeAsync(1_900);
    expect(health.readiness()).toEqual({
      ready: false,
      checks: { database: { ok: false, reason: 'it did not answer' } },
    });
    health.stop();
  });

  it('does not tell an error of a dependency, which may hold an address', async () => {
    const { log } = capture();
    const health = createHealth({ log });
    health.add('database', () => {
      throw new Error('password authentication failed for remit at 10.0.0.1');
    });
    expect((await health.poll()).checks.database).toEqual({
      ok: false,
      reason: 'it did not answer',
    });
  });
});

describe('metrics', () => {
  it('are said in the Prometheus text format', () => {
    const metrics = createMetrics({ service: 'test', version: '1.2.3' });
    const calls = metrics.counter('remit_calls_total', 'Calls.');
    calls.add({ b: 'x"y\\z\n', a: '1' });
    calls.add({ a: '1', b: 'x"y\\z\n' }, 2);
    const seconds = metrics.histogram('remit_seconds', 'Time.', [0.1, 1]);
    for (const value of [0.05, 0.5, 5]) seconds.observe(value, { m: 'x' });
    metrics.gauge('remit_size', 'Size.', () => 4);
    const text = metrics.text();
    expect(text).toContain('remit_build_info{service="test",version="1.2.3"} 1\n');
    expect(text).toContain(
      '# TYPE remit_calls_total counter\nremit_calls_total{a="1",b="x\\"y\\\\z\\n"} 3\n',
    );
    expect(text).toContain(
      [
        'remit_seconds_bucket{m="x",le="0.1"} 1',
        'remit_seconds_bucket{m="x",le="1"} 2',
        'remit_seconds_bucket{m="x",le="+Inf"} 3',
        'remit_seconds_sum{m="x"} 5.55',
        'remit_seconds_count{m="x"} 3',
      ].join('\n'),
    );
    expect(text).toContain('# HELP remit_size Size.\n# TYPE remit_size gauge\nremit_size 4\n');
    metrics.stop();
  });

  it('refuse a name that is taken or not Remit’s, and endless labels', () => {
    const metrics = createMetrics({ service: 'test', version: '1.2.3' });
    const calls = metrics.counter('remit_calls_total', 'Calls.');
    expect(() => metrics.counter('remit_calls_total', 'Calls.')).toThrow('not usable');
    expect(() => metrics.counter('calls', 'Calls.')).toThrow('not usable');
    for (let i = 0; i < 3_000; i++) calls.add({ id: String(i) });
    expect(
      metrics
        .text()
        .split('\n')
        .filter((line) => line.startsWith('remit_calls_total{')),
    ).toHaveLength(2_000);
    metrics.stop();
  });
});
