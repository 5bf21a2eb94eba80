import { createHash } from 'node:crypto';
import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, connectBus } from './bus.ts';
import type { ServeOptions } from './serve.ts';
import { createSigner, type Signer } from './signer.ts';
import { createVerifier, type Verifier } from './verifier.ts';

const DIGEST = 'sha256:x';
let infra: TestInfra;
let pdp: Bus;
let signer: Signer;
let verifier: Verifier;

beforeAll(async () => {
  infra = await testInfra();
  signer = createSigner(infra.signer('registry-bus'));
  verifier = createVerifier(infra.trust().keys.registry);
  pdp = await open('pdp');
});
afterAll(async () => {
  await pdp.close();
  await infra[Symbol.asyncDispose]();
});

function open(user: string): Promise<Bus> {
  return connectBus({ url: infra.natsUrl, name: user, ...infra.creds(user) });
}

type BodyHandler = (
  context: { tenant: string; caller: string },
  body: { digest: string },
) => unknown;

/** What a handler waits for that shall not answer in time; resolved when its registry goes. */
let held = Promise.withResolvers<void>();

/** A registry whose `body` does what the test says. */
async function registryThat(
  body: BodyHandler,
  options: Partial<ServeOptions> = {},
): Promise<AsyncDisposable & { errors: unknown[] }> {
  const bus = await open('registry');
  held = Promise.withResolvers();
  const errors: unknown[] = [];
  bus.serve(
    'registry',
    { body: async (context, asked) => (await body(context, asked)) as never },
    {
      signer,
      onError: (error) => errors.push(error),
      ...options,
    },
  );
  await bus.flush();
  return {
    errors,
    async [Symbol.asyncDispose]() {
      held.resolve();
      await bus.close();
    },
  };
}

/** A connection that says and hears whatever its user may. */
async function raw(user: string): Promise<NatsConnection> {
  const { seed } = infra.creds(user);
  return connect({
    servers: infra.natsUrl,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    inboxPrefix: `_INBOX_${user}`,
  });
}

const ask = (tenant = 'acme', digest = DIGEST) =>
  pdp.call('registry.body', tenant, { digest }, { verifier, policy: 'quick' });

describe('a call', () => {
  it('carries tenant and caller in its subject and brings the signed answer back', async () => {
    await using _registry = await registryThat(({ tenant, caller }, { digest }) => ({
      digest,
      text: `${tenant} ${caller}`,
    }));
    expect(await ask()).toEqual({ digest: DIGEST, text: 'acme pdp' });
    expect(await ask('globex')).toEqual({ digest: DIGEST, text: 'globex pdp' });
  });

  it('keeps many answers apart that come in another order', async () => {
    const waiting: (() => void)[] = [];
    await using _registry = await registryThat(async (_context, { digest }) => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        if (waiting.length === 20) for (const go of waiting.toReversed()) go();
      });
      return { digest, text: digest };
    });
    const digests = Array.from({ length: 20 }, (_, i) => `d${i}`);
    const answers = await Promise.all(digests.map((digest) => ask('acme', digest)));
    expect(answers.map((answer) => answer.text)).toEqual(digests);
  });

  it('is refused before it is sent when it does not follow its schema', async () => {
    await using registry = await registryThat(() => ({ digest: DIGEST, text: '' }));
    const bodies = [{}, { digest: 1 }, { digest: DIGEST, more: true }, { digest: '' }, null];
    for (const body of bodies) {
      await expect(
        pdp.call('registry.body', 'acme', body as never, { verifier }),
      ).rejects.toMatchObject({
        code: 'REQUEST_INVALID',
        message: 'the request does not follow its schema',
      });
    }
    await expect(ask('acme.evil')).rejects.toMatchObject({ code: 'ID_INVALID' });
    expect(registry.errors).toEqual([]);
  });

  it('says at once that nobody serves it', async () => {
    await expect(ask()).rejects.toMatchObject({
      code: 'CALL_UNAVAILABLE',
      message: 'nobody serves that request',
    });
  });

  it('ends when the policy says so, and is not sent again by a policy without retries', async () => {
    let asked = 0;
    await using _registry = await registryThat(() => {
      asked++;
      return held.promise;
    });
    await expect(ask()).rejects.toMatchObject({
      code: 'CALL_TIMEOUT',
      message: 'no answer in time',
      details: { timeoutMs: 250 },
    });
    expect(asked).toBe(1);
  });

  it('is sent again with the same bytes where the policy says so', async () => {
    const seen: string[] = [];
    await using _registry = await registryThat((_context, body) => {
      seen.push(JSON.stringify(body));
      return seen.length === 1 ? held.promise : { digest: DIGEST, text: 'second' };
    });
    const answer = await pdp.call('registry.body', 'acme', { digest: DIGEST }, { verifier });
    expect(answer.text).toBe('second');
    expect(seen).toEqual([`{"digest":"${DIGEST}"}`, `{"digest":"${DIGEST}"}`]);
  });

  it('is refused by the server when the caller has no right to the method', async () => {
    const issuer = await open('issuer');
    await using _issuer = issuer;
    await expect(
      pdp.call(
        'revocation.revoke',
        'acme',
        { kind: 'tenant', id: 'acme', by: { kind: 'service', id: 'pdp' } },
        { verifier },
      ),
    ).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      message: 'this user may not send that request',
      details: { subject: 'remit.rpc.revocation.revoke.acme.pdp' },
    });
  });

  it('fails at once when the connection goes, and works again after it came back', async () => {
    const { url, proxy } = await infra.throughProxy(infra.natsUrl);
    await using bus = await connectBus({ ...infra.creds('issuer'), url, name: 'issuer' });
    await using _registry = await registryThat((_context, { digest }) =>
      digest === 'never' ? held.promise : { digest, text: 'back' },
    );
    const statuses: string[] = [];
    bus.onStatus((status) => statuses.push(status));
    const lost = bus.call(
      'registry.body',
      'acme',
      { digest: 'never' },
      { verifier, policy: 'decide' },
    );
    await bus.flush();
    proxy.cut();
    await expect(lost).rejects.toMatchObject({
      code: 'CALL_UNAVAILABLE',
      message: 'the connection was lost before the answer came',
    });
    await expect(
      bus.call('registry.body', 'acme', { digest: DIGEST }, { verifier, policy: 'quick' }),
    ).rejects.toMatchObject({ code: 'CALL_UNAVAILABLE', message: 'the bus is not connected' });
    proxy.heal();
    await expect.poll(() => bus.status(), { timeout: 5_000 }).toBe('connected');
    const answer = await bus.call('registry.body', 'acme', { digest: DIGEST }, { verifier });
    expect(answer.text).toBe('back');
    expect(statuses).toEqual(['disconnected', 'connected']);
  });

  it('reaches a service from the account of a PEP', async () => {
    await using revocation = await open('revocation');
    const revocationSigner = createSigner(infra.signer('revocation-bus'));
    revocation.serve(
      'revocation',
      {
        head: ({ tenant, caller }, { nonce }) => ({
          nonce,
          epoch: caller,
          seq: 1,
          term: 1,
          time: 1,
          tag: tenant,
        }),
      },
      { signer: revocationSigner },
    );
    await revocation.flush();
    await using pep = await connectBus({
      url: infra.natsUrl,
      name: 'pep',
      ...infra.pepCreds('acme', 'erp-1'),
    });
    const keys = createVerifier(infra.trust().keys.revocation);
    expect(
      await pep.call('revocation.head', 'acme', { nonce: 'n' }, { verifier: keys }),
    ).toMatchObject({
      epoch: 'erp-1',
      tag: 'acme',
    });
    await expect(
      pep.call('revocation.head', 'globex', { nonce: 'n' }, { verifier: keys, policy: 'quick' }),
    ).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});

describe('an answer', () => {
  // Each of these is taken for the answer when its comparison in readReply() is taken out.
  it('is believed only when it is signed over this request, this method and this tenant', async () => {
    const nc = await raw('registry');
    let forge: (honest: { req: string; method: string; tenant: string; body: unknown }) => string;
    nc.subscribe('remit.rpc.registry.*.*.*', {
      queue: 'registry',
      callback: (_error, message) => {
        const honest = {
          req: sha256(message.data),
          method: 'registry.body',
          tenant: 'acme',
          body: { digest: DIGEST, text: 'forged' },
        };
        message.respond(forge(honest));
      },
    });
    await nc.flush();
    const sign = (payload: unknown) => signer.sign('remit-reply+jws', JSON.stringify(payload));
    forge = sign;
    expect((await ask()).text).toBe('forged');
    const stranger = createSigner(infra.signer('revocation-bus'));
    const forgeries: [string, typeof forge][] = [
      ['another key', (honest) => stranger.sign('remit-reply+jws', JSON.stringify(honest))],
      ['another kind', (honest) => signer.sign('remit-beat+jws', JSON.stringify(honest))],
      ['another request', (honest) => sign({ ...honest, req: sha256(Buffer.from('{}')) })],
      ['another method', (honest) => sign({ ...honest, method: 'registry.lookup' })],
      ['another tenant', (honest) => sign({ ...honest, tenant: 'globex' })],
      ['more members', (honest) => sign({ ...honest, more: 1 })],
      [
        'an answer and an error',
        (honest) => sign({ ...honest, error: { code: 'INTERNAL', message: 'x' } }),
      ],
      ['neither', ({ body: _body, ...honest }) => sign(honest)],
      [
        'another schema',
        (honest) => sign({ ...honest, body: { digest: DIGEST, text: 'x', more: 1 } }),
      ],
      [
        'an unknown code',
        ({ body: _body, ...honest }) => sign({ ...honest, error: { code: 'ALLOW', message: 'x' } }),
      ],
      ['no signature', (honest) => JSON.stringify(honest)],
    ];
    for (const [name, forgery] of forgeries) {
      forge = forgery;
      await expect(ask(), name).rejects.toMatchObject({ code: 'REPLY_INVALID' });
    }
    await nc.close();
  });

  it('says which wire error it is, with the safe sentence and never the message', async () => {
    await using registry = await registryThat(() => {
      throw Object.assign(new Error('secret of the handler'), { wireCode: 'NOT_FOUND' });
    });
    await expect(ask()).rejects.toMatchObject({
      code: 'CALL_REFUSED',
      message: 'registry.body was refused: NOT_FOUND',
      details: { method: 'registry.body', code: 'NOT_FOUND', message: 'There is nothing here.' },
    });
    expect(registry.errors).toEqual([]);
  });

  it('is INTERNAL for every other error and for an answer off its schema, which the callee is told', async () => {
    for (const [body, told] of [
      [() => Promise.reject(new Error('password=hunter2')), 'password=hunter2'],
      [() => Promise.reject(Object.assign(new Error('no code'), { wireCode: 'ALLOW' })), 'no code'],
      [() => ({ digest: DIGEST, text: 1 }), '/text must be string'],
      [
        () => ({ digest: DIGEST, text: '', secret: 'hunter2' }),
        '/ must NOT have additional properties',
      ],
    ] as const) {
      await using registry = await registryThat(body);
      const error = await ask().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'CALL_REFUSED', details: { code: 'INTERNAL' } });
      expect(JSON.stringify(error)).not.toContain('hunter2');
      expect(registry.errors).toEqual([expect.objectContaining({ message: told })]);
    }
  });
});

describe('a callee', () => {
  it('refuses what is malformed, unknown or too large, each with its code, and calls no handler', async () => {
    let called = 0;
    await using _registry = await registryThat(
      () => {
        called++;
        return { digest: DIGEST, text: '' };
      },
      { maxRequestBytes: 200 },
    );
    const nc = await raw('pdp');
    const codeOf = async (subject: string, payload: string | Uint8Array): Promise<string> => {
      const reply = `_R.pdp.registry.test.${Math.random().toString(16).slice(2)}`;
      const sub = nc.subscribe(reply, { max: 1 });
      nc.publish(subject, payload, { reply });
      for await (const message of sub) {
        const signed = Buffer.from(verifier.verify('remit-reply+jws', message.data)).toString();
        return (JSON.parse(signed) as { error?: { code: string } }).error?.code ?? 'none';
      }
      return 'none';
    };
    const body = 'remit.rpc.registry.body.acme.pdp';
    expect(await codeOf(body, 'not json')).toBe('INVALID_REQUEST');
    expect(await codeOf(body, Uint8Array.of(0x22, 0xff, 0x22))).toBe('INVALID_REQUEST');
    expect(await codeOf(body, '{"digest":"a","digest":"b"}')).toBe('INVALID_REQUEST');
    expect(await codeOf(body, '{"digest":"a","more":1}')).toBe('INVALID_REQUEST');
    expect(await codeOf(body, '{"digest":5}')).toBe('INVALID_REQUEST');
    expect(await codeOf(body, `{"digest":"${'a'.repeat(250)}"}`)).toBe('PAYLOAD_TOO_LARGE');
    expect(await codeOf('remit.rpc.registry.lookup.acme.pdp', '{"actors":[]}')).toBe(
      'METHOD_NOT_ALLOWED',
    );
    expect(called).toBe(0);
    expect(await codeOf(body, '{"digest":"a"}')).toBe('none');
    await nc.close();
  });

  // Answered on `remit.beat.registry` when isReplyOf() is taken out: the registry may publish there.
  it('puts its answer on no subject but the caller’s own replies', async () => {
    let called = 0;
    await using registry = await registryThat(() => {
      called++;
      return { digest: DIGEST, text: '' };
    });
    const nc = await raw('pdp');
    const beats = await raw('revocation');
    const heard: string[] = [];
    beats.subscribe('remit.beat.registry', {
      callback: (_error, message) => {
        heard.push(message.subject);
      },
    });
    await beats.flush();
    const replies = [
      'remit.beat.registry',
      '_R.issuer.registry.a.b',
      '_R.pdp.revocation.a.b',
      '_R.pdp.registry.a',
      '_R.pdp.registry.a.b.c',
      '_INBOX_operator.a',
    ];
    for (const reply of replies) {
      nc.publish('remit.rpc.registry.body.acme.pdp', '{"digest":"a"}', { reply });
    }
    nc.publish('remit.rpc.registry.body.acme.pdp', '{"digest":"a"}');
    await expect.poll(() => registry.errors.length).toBe(7);
    expect(registry.errors).toEqual(
      Array.from({ length: 7 }, () =>
        expect.objectContaining({
          code: 'REPLY_SUBJECT_REFUSED',
          message: 'a request asks for its answer elsewhere',
        }),
      ),
    );
    await beats.flush();
    expect(heard).toEqual([]);
    expect(called).toBe(0);
    await Promise.all([nc.close(), beats.close()]);
  });

  it('answers OVERLOADED beyond its bound, early, and the others as they should be', async () => {
    await using _registry = await registryThat(
      async (_context, { digest }) => {
        await held.promise;
        return { digest, text: 'done' };
      },
      { maxInFlight: 2 },
    );
    const first = [ask('acme', 'a'), ask('acme', 'b')];
    await pdp.flush();
    await expect(ask('acme', 'c')).rejects.toMatchObject({
      code: 'CALL_REFUSED',
      details: { code: 'OVERLOADED' },
    });
    held.resolve();
    expect((await Promise.all(first)).map(({ text }) => text)).toEqual(['done', 'done']);
  });

  it('has a handler only for methods that are declared', async () => {
    await using bus = await open('registry');
    expect(() => bus.serve('registry', { toString: () => ({}) } as never, { signer })).toThrow(
      expect.objectContaining({
        code: 'OPTION_INVALID',
        message: 'a handler for a method that is not declared',
      }),
    );
  });

  it('finishes what it works on when it stops, and leaves the rest to its replicas', async () => {
    let release = (): void => {};
    const began = Promise.withResolvers<void>();
    const bus = await open('registry');
    const served = bus.serve(
      'registry',
      {
        body: async (_context, { digest }) => {
          began.resolve();
          await new Promise<void>((resolve) => {
            release = resolve;
          });
          return { digest, text: 'old' };
        },
      },
      { signer },
    );
    await bus.flush();
    const last = pdp.call('registry.body', 'acme', { digest: DIGEST }, { verifier });
    await began.promise;
    const stopped = served.stop();
    await bus.flush();
    await using _replica = await registryThat(() => ({ digest: DIGEST, text: 'new' }));
    expect((await ask()).text).toBe('new');
    release();
    await stopped;
    expect((await last).text).toBe('old');
    expect(served.stats()).toMatchObject({ body: { requests: 1, errors: 0 } });
    await bus.close();
  });
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64url');
}
