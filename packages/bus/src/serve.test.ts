import { describe, expect, it } from 'vitest';
import {
  ask,
  DIGEST,
  held,
  open,
  pdp,
  raw,
  registryThat,
  signer,
  useRegistry,
  verifier,
} from './rpc.testing.ts';

useRegistry();

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
