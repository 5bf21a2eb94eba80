import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { connectBus } from './bus.ts';
import {
  ask,
  DIGEST,
  held,
  infra,
  open,
  pdp,
  raw,
  registryThat,
  signer,
  useRegistry,
  verifier,
} from './rpc.testing.ts';
import { createSigner } from './signer.ts';
import { createVerifier } from './verifier.ts';

useRegistry();

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
    let forge: (honest: {
      req: string;
      call: string | undefined;
      method: string;
      tenant: string;
      body: unknown;
    }) => string;
    nc.subscribe('remit.rpc.registry.*.*.*', {
      queue: 'registry',
      callback: (_error, message) => {
        const honest = {
          req: sha256(message.data),
          call: message.headers?.get('Remit-Call'),
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
      ['the same request, asked before', (honest) => sign({ ...honest, call: 'f'.repeat(32) })],
      ['no call', ({ call: _call, ...honest }) => sign(honest)],
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

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64url');
}
