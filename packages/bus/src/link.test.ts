import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { nkeys } from '@nats-io/transport-node';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, connectBus } from './bus.ts';

let infra: TestInfra;
beforeAll(async () => {
  infra = await testInfra();
});
afterAll(async () => infra[Symbol.asyncDispose]());

function open(user: string, extra: { url?: string; log?: never } = {}): Promise<Bus> {
  return connectBus({ url: infra.natsUrl, name: user, ...infra.creds(user), ...extra });
}

describe('connecting', () => {
  it('says who it is and which server answered', async () => {
    await using bus = await open('pdp');
    expect(bus.user).toBe('pdp');
    expect(bus.instance).toMatch(/^[0-9a-f]{16}$/);
    expect(bus.server().version).toMatch(/^\d+\.\d+\.\d+/);
    expect(bus.server().maxPayload).toBeGreaterThanOrEqual(1_048_576);
    expect(bus.status()).toBe('connected');
  });

  it('fails in one try for an unknown key and for no server, without the seed in the error', async () => {
    const { seed } = infra.creds('operator');
    const unknown = new TextDecoder().decode(nkeys.createUser().getSeed());
    const options = { url: infra.natsUrl, user: 'pdp', name: 'x', firstConnectMs: 0 };
    const stranger = await connectBus({ ...options, seed: unknown }).catch((e: unknown) => e);
    expect(stranger).toMatchObject({
      code: 'CONNECT_FAILED',
      message: 'the nats-server does not know this user or key',
    });
    expect(JSON.stringify(stranger) + String((stranger as Error).stack)).not.toContain(unknown);
    const nobody = await connectBus({ ...options, url: 'nats://127.0.0.1:1', seed }).catch(
      (e: unknown) => e,
    );
    expect(nobody).toMatchObject({
      code: 'CONNECT_FAILED',
      message: 'no connection to the nats-server',
    });
    expect(JSON.stringify(nobody) + String((nobody as Error).stack)).not.toContain(seed);
  });

  // Red when every refusal of the server counts as an unknown key.
  it('tries again when a busy server gave up on the challenge', async () => {
    let tries = 0;
    const busy = createServer((socket) => {
      tries += 1;
      socket.on('error', () => undefined);
      socket.end(
        `INFO {"version":"2.14.3","max_payload":1048576}\r\n-ERR 'Authentication Timeout'\r\n`,
      );
    });
    busy.listen(0, '127.0.0.1');
    await once(busy, 'listening');
    const { port } = busy.address() as AddressInfo;
    try {
      await expect(
        connectBus({
          url: `nats://127.0.0.1:${port}`,
          name: 'x',
          ...infra.creds('pdp'),
          firstConnectMs: 300,
        }),
      ).rejects.toMatchObject({ message: 'no connection to the nats-server' });
      expect(tries).toBeGreaterThan(1);
    } finally {
      busy.close();
    }
  });

  it('refuses names that would reach other subjects', async () => {
    const { seed } = infra.creds('pdp');
    for (const user of ['', '*', 'a.b', '>', 'A']) {
      await expect(connectBus({ url: infra.natsUrl, user, seed, name: 'x' })).rejects.toMatchObject(
        {
          code: 'OPTION_INVALID',
          message: 'user is not a node name',
        },
      );
    }
    await expect(
      connectBus({ url: infra.natsUrl, user: 'pdp', seed, name: 'x', instance: 'a.*' }),
    ).rejects.toMatchObject({ code: 'OPTION_INVALID', message: 'instance is not a node name' });
  });
});

describe('a connection', () => {
  it('notices a silent server within two seconds, comes back for ever, and hears again', async () => {
    const { url, proxy } = await infra.throughProxy(infra.natsUrl);
    await using bus = await open('revocation', { url });
    await using registry = await open('registry');
    const statuses: string[] = [];
    bus.onStatus((status) => statuses.push(status));
    const heard: string[] = [];
    bus.subscribe('remit.beat.registry', (subject, bytes) => {
      heard.push(`${subject} ${Buffer.from(bytes).toString()}`);
    });
    await bus.flush();
    for (let round = 1; round <= 2; round++) {
      const frozen = performance.now();
      proxy.freeze();
      await expect.poll(() => bus.status(), { timeout: 5_000 }).toBe('disconnected');
      expect(performance.now() - frozen).toBeLessThan(2_500);
      await expect(bus.flush()).rejects.toMatchObject({ code: 'DISCONNECTED' });
      await expect(
        bus.publishRecord('remit.audit.acme.revocation.decision', 'x', 'id'),
      ).rejects.toMatchObject({
        code: 'DISCONNECTED',
        message: 'the bus is not connected',
      });
      expect(bus.server().maxPayload).toBe(1_048_576);
      proxy.cut();
      proxy.heal();
      await expect.poll(() => bus.status(), { timeout: 5_000 }).toBe('connected');
      await bus.flush();
      registry.publish('remit.beat.registry', `${round}`);
      await expect.poll(() => heard.at(-1)).toBe(`remit.beat.registry ${round}`);
    }
    expect(statuses).toEqual(['disconnected', 'connected', 'disconnected', 'connected']);
  });

  it('is closed for ever after close', async () => {
    const bus = await open('pdp');
    const statuses: string[] = [];
    const stop = bus.onStatus((status) => statuses.push(status));
    await bus.close();
    await bus.close();
    expect(bus.status()).toBe('closed');
    expect(statuses).toEqual(['closed']);
    stop();
    expect(() => bus.publish('remit.beat.pdp', 'x')).toThrow(
      expect.objectContaining({ code: 'CLOSED', message: 'the bus is closed' }),
    );
    await expect(bus.flush()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  // Red when publish() hands over the caller's own buffer.
  it('sends the bytes as they were when it was told to', async () => {
    await using registry = await open('registry');
    await using revocation = await open('revocation');
    const heard: number[][] = [];
    revocation.subscribe('remit.beat.registry', (_subject, bytes) => heard.push([...bytes]));
    await revocation.flush();
    const buffer = new Uint8Array(3);
    for (let n = 0; n < 50; n++) {
      buffer.fill(n);
      registry.publish('remit.beat.registry', buffer);
    }
    await expect.poll(() => heard.length).toBe(50);
    expect(heard).toEqual(Array.from({ length: 50 }, (_, n) => [n, n, n]));
  });

  it('tells the subscriber when the server refuses a subscription, and goes on after a listener threw', async () => {
    await using bus = await open('issuer');
    const errors: string[] = [];
    bus.subscribe('remit.policy.*', () => {}, { onError: ({ code }) => errors.push(code) });
    await expect.poll(() => errors).toEqual(['PERMISSION_DENIED']);
    await using revocation = await open('revocation');
    let heard = 0;
    bus.subscribe(
      'remit.revocation.acme',
      () => {
        heard++;
        throw new Error('listener');
      },
      { onError: ({ code }) => errors.push(code) },
    );
    await bus.flush();
    revocation.publish('remit.revocation.acme', 'a');
    revocation.publish('remit.revocation.acme', 'b');
    await expect.poll(() => heard).toBe(2);
    expect(errors).toEqual(['PERMISSION_DENIED', 'HANDLER_FAILED', 'HANDLER_FAILED']);
  });
});
