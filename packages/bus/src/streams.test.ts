import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { streams } from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, connectBus } from './bus.ts';
import type { StreamMessage } from './consume.ts';

const DURABLE = { stream: 'AUDIT', durable: 'ingest' } as const;
const SUBJECT = 'remit.audit.acme.audit.decision';
let infra: TestInfra;
let audit: Bus;

beforeAll(async () => {
  infra = await testInfra();
  audit = await open();
  await audit.ensureStream(streams.AUDIT);
});
afterAll(async () => {
  await audit.close();
  await infra[Symbol.asyncDispose]();
});

function open(user = 'audit', url = infra.natsUrl): Promise<Bus> {
  return connectBus({ ...infra.creds(user), url, name: user });
}

async function rawOf(user: string): Promise<NatsConnection> {
  return connect({
    servers: infra.natsUrl,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(infra.creds(user).seed)),
    inboxPrefix: `_INBOX_${user}`,
  });
}

let lastId = 0;
const nextId = (): string => `id-${++lastId}`;
const textOf = (messages: readonly StreamMessage[]): string[] =>
  messages.map(({ data }) => Buffer.from(data).toString());

describe('a stream', () => {
  it('can be declared again and again, by several replicas at once', async () => {
    await using replica = await open();
    await Promise.all([
      audit.ensureStream(streams.AUDIT),
      replica.ensureStream(streams.AUDIT),
      audit.ensureStream(streams.AUDIT),
    ]);
  });

  it('is brought to a changed declaration and back', async () => {
    await audit.ensureStream({ ...streams.AUDIT, maxAgeSeconds: 3_600 }, { maxBytes: 1_048_576 });
    await audit.ensureStream(streams.AUDIT);
  });

  it('stops with the name of the option when it can not be brought to its declaration', async () => {
    await expect(audit.ensureStream(streams.AUDIT, { storage: 'memory' })).rejects.toMatchObject({
      code: 'STREAM_MISMATCH',
      message: expect.stringContaining('storage'),
      details: { stream: 'AUDIT' },
    });
    await expect(audit.ensureStream(streams.AUDIT, { replicas: 3 })).rejects.toMatchObject({
      code: 'STREAM_MISMATCH',
      message: expect.stringContaining('replicas'),
    });
  });

  // Green without the read-back in ensureStream(): the server takes the update and keeps `republish`.
  it('stops when it has an option that nobody declared', async () => {
    const nc = await rawOf('audit');
    const config = {
      name: 'AUDIT',
      subjects: ['remit.audit.*.*.*'],
      republish: { src: '>', dest: 'elsewhere.>' },
      deny_delete: true,
      deny_purge: true,
    };
    const update = async (body: unknown): Promise<void> => {
      const reply = await nc.request('$JS.API.STREAM.UPDATE.AUDIT', JSON.stringify(body));
      expect(reply.json()).not.toHaveProperty('error');
    };
    await update(config);
    await expect(audit.ensureStream(streams.AUDIT)).rejects.toMatchObject({
      code: 'STREAM_MISMATCH',
      message: 'stream AUDIT differs from its declaration in republish',
      details: { differing: ['republish'] },
    });
    await update({ ...config, republish: undefined });
    await audit.ensureStream(streams.AUDIT);
    await nc.close();
  });

  it('is declared only by its owner', async () => {
    await using registry = await open('registry');
    await expect(registry.ensureStream(streams.AUDIT)).rejects.toMatchObject({
      code: 'STREAM_UNAVAILABLE',
    });
  });
});

describe('a durable consumer', () => {
  it('is created, brought to other options, and read back', async () => {
    await audit.ensureConsumer('AUDIT', 'ingest', { ackWaitMs: 5_000 });
    await audit.ensureConsumer('AUDIT', 'ingest', { ackWaitMs: 1_000, maxAckPending: 100 });
    await audit.ensureConsumer('AUDIT', 'ingest');
    await expect(audit.ensureConsumer('AUDIT', 'ingest', { deliver: 'new' })).rejects.toMatchObject(
      {
        code: 'CONSUMER_MISMATCH',
        message: expect.stringContaining('consumer ingest of AUDIT'),
      },
    );
  });

  it('hands over every message in order, in batches, and each once after it was acknowledged', async () => {
    await using bus = await open();
    const seen: string[] = [];
    const sizes: number[] = [];
    const consumption = bus.consume({ ...DURABLE, consumer: {}, batch: 10 }, async (messages) => {
      seen.push(...textOf(messages));
      sizes.push(messages.length);
    });
    await consumption.ready;
    const sent = Array.from({ length: 95 }, (_, i) => `m${i}`);
    for (const text of sent) await bus.publishRecord(SUBJECT, text, nextId());
    await expect.poll(() => seen.length).toBe(95);
    await consumption.stop();
    expect(seen).toEqual(sent);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10);

    // What was acknowledged does not come again.
    await audit.publishRecord(SUBJECT, 'after', nextId());
    const after: string[] = [];
    await using second = await open();
    second.consume(DURABLE, async (messages) => {
      after.push(...textOf(messages));
    });
    await expect.poll(() => after).toEqual(['after']);
  });

  // Red when the acknowledgement in work() is sent before the handler: the batch never comes again.
  it('brings a batch again whose handler failed, after a delay', async () => {
    await using bus = await open();
    const errors: unknown[] = [];
    const deliveries: [string, number][] = [];
    bus.consume(
      { ...DURABLE, nakDelayMs: 50, onError: (error) => errors.push(error) },
      async (messages) => {
        deliveries.push(...messages.map((m): [string, number] => [m.msgId ?? '', m.deliveries]));
        if (messages.some((message) => message.deliveries === 1)) throw new Error('no database');
      },
    );
    const id = nextId();
    await bus.publishRecord(SUBJECT, 'poison', id);
    await expect
      .poll(() => deliveries)
      .toEqual([
        [id, 1],
        [id, 2],
      ]);
    expect(errors).toEqual([
      expect.objectContaining({
        code: 'HANDLER_FAILED',
        message: 'a batch failed and will come again',
      }),
    ]);
  });

  it('reads on after its stream and consumer were deleted under it and declared again', async () => {
    await using bus = await open();
    const seen: string[] = [];
    const consumption = bus.consume(
      { ...DURABLE, consumer: {}, onError: () => {} },
      async (messages) => {
        seen.push(...textOf(messages));
      },
    );
    await consumption.ready;
    await bus.publishRecord(SUBJECT, 'before', nextId());
    await expect.poll(() => seen).toContain('before');
    const system = await rawOf('sys');
    const purged = await system.request('$JS.API.ACCOUNT.PURGE.REMIT', '', { timeout: 2_000 });
    expect(purged.json()).not.toHaveProperty('error');
    await system.close();
    await audit.ensureStream(streams.AUDIT);
    await audit.publishRecord(SUBJECT, 'behind its back', nextId());
    await expect.poll(() => seen, { timeout: 10_000 }).toContain('behind its back');
    expect(consumption.restarts()).toBeGreaterThan(0);
  });

  // Red without the repetition in declarations.ts: nobody makes the stream again.
  it('is there again after a server that lost its store came back', async () => {
    const { url, proxy } = await infra.throughProxy(infra.natsUrl);
    await using bus = await open('audit', url);
    await bus.ensureStream(streams.AUDIT);
    proxy.cut();
    await expect.poll(() => bus.status()).toBe('disconnected');
    const system = await rawOf('sys');
    await system.request('$JS.API.ACCOUNT.PURGE.REMIT', '', { timeout: 2_000 });
    await system.close();
    proxy.heal();
    await expect
      .poll(() => audit.publishRecord(SUBJECT, 'kept', nextId()).catch(String), { timeout: 10_000 })
      .toBe('acked');
    await audit.ensureConsumer('AUDIT', 'ingest');
  });

  it('reads on after the connection was cut', async () => {
    const { url, proxy } = await infra.throughProxy(infra.natsUrl);
    await using bus = await open('audit', url);
    const seen: string[] = [];
    const consumption = bus.consume({ ...DURABLE, onError: () => {} }, async (messages) => {
      seen.push(...textOf(messages));
    });
    await consumption.ready;
    proxy.cut();
    await expect.poll(() => bus.status()).toBe('disconnected');
    await audit.publishRecord(SUBJECT, 'while away', nextId());
    proxy.heal();
    await expect.poll(() => seen, { timeout: 10_000 }).toContain('while away');
  });

  it('waits for the batch in work when it stops, and hands back what was not begun', async () => {
    await using bus = await open();
    const began = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let done = false;
    const consumption = bus.consume(DURABLE, async () => {
      began.resolve();
      await release.promise;
      done = true;
    });
    await consumption.ready;
    await bus.publishRecord(SUBJECT, 'last', nextId());
    await began.promise;
    await bus.publishRecord(SUBJECT, 'not begun', nextId());
    // It has to be here to be handed back: what is on its way to a reader that left comes by time-out.
    const observer = await rawOf('audit');
    const manager = await jetstreamManager(observer, { checkAPI: false });
    const handedOut = async () => (await manager.consumers.info('AUDIT', 'ingest')).num_ack_pending;
    await expect.poll(handedOut, { timeout: 5_000 }).toBe(2);
    await bus.flush();
    await observer.close();
    const stopped = consumption.stop();
    release.resolve();
    await stopped;
    expect(done).toBe(true);
    // Long before the acknowledgement's time-out of 30 s.
    await using next = await open();
    const seen: string[] = [];
    next.consume(DURABLE, async (messages) => {
      seen.push(...textOf(messages));
    });
    await expect.poll(() => seen, { timeout: 5_000 }).toEqual(['not begun']);
  });
});

describe('publishing a record', () => {
  it('is acknowledged, also again under the same id, and told apart from an id that was taken', async () => {
    const id = nextId();
    expect(await audit.publishRecord(SUBJECT, 'one', id)).toBe('acked');
    expect(await audit.publishRecord(SUBJECT, 'other', id)).toBe('duplicate');
  });

  it('fails at once without a connection and without a stream', async () => {
    await using bus = await open('registry');
    await expect(bus.publishRecord('remit.policy.acme', 'x', nextId())).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      message: 'this user may not publish there',
    });
    await expect(
      bus.publishRecord('remit.registry.acme.agent', 'x', nextId(), { retries: 1 }),
    ).rejects.toMatchObject({ code: 'PUBLISH_FAILED', details: { attempts: 2 } });
    await expect(
      bus.publishRecord('remit.registry.acme.agent', 'x', nextId(), { timeoutMs: 501 }),
    ).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    await expect(
      bus.publishRecord('remit.registry.acme.agent', new Uint8Array(2_000_000), nextId()),
    ).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
    await bus.close();
    await expect(bus.publishRecord(SUBJECT, 'x', nextId())).rejects.toMatchObject({
      code: 'CLOSED',
    });
  });

  it('gives up within its time-outs when the server is silent', async () => {
    const { url, proxy } = await infra.throughProxy(infra.natsUrl);
    await using bus = await open('audit', url);
    proxy.freeze();
    const began = performance.now();
    await expect(
      bus.publishRecord(SUBJECT, 'x', nextId(), { timeoutMs: 100, retries: 1 }),
    ).rejects.toMatchObject({ code: 'PUBLISH_FAILED', details: { attempts: 2 } });
    expect(performance.now() - began).toBeLessThan(1_000);
    proxy.heal();
  });
});
