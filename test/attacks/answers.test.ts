import { createSigner, type Signer } from '@remit/bus';
import { sha256 } from '@remit/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allow } from '../../services/issuer/src/test/fake-services.ts';
import { startWorld, type World } from '../../services/issuer/src/test/world.ts';
import { type RawConnection, rawConnection } from './raw-bus.ts';

// The pdp is away, and somebody with its connection to the bus, or with less, answers in its place.

let world: World;
let rogue: RawConnection;
let signer: Signer;
let call: string | undefined;
let answer: (request: Uint8Array) => string | Uint8Array | undefined;
const kept: { request: Uint8Array; text: string }[] = [];

beforeAll(async () => {
  world = await startWorld();
  await world.services.stop('pdp');
  rogue = await rawConnection(world.infra, world.infra.creds('pdp'));
  signer = createSigner(world.infra.signer('pdp-bus'));
  rogue.nc.subscribe('remit.rpc.pdp.*.*.*', {
    queue: 'pdp',
    callback: (_error, message) => {
      call = message.headers?.get('Remit-Call');
      const text = answer(message.data);
      if (text !== undefined) message.respond(text);
    },
  });
  await rogue.nc.flush();
});
afterAll(async () => {
  await rogue?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const reply = (
  request: Uint8Array,
  body: unknown,
  change: Record<string, unknown> = {},
  by: Signer = signer,
  typ = 'remit-reply+jws',
) =>
  by.sign(
    typ as Parameters<Signer['sign']>[0],
    JSON.stringify({
      req: sha256(request),
      call,
      method: 'pdp.mint',
      tenant: 'acme',
      body,
      ...change,
    }),
  );
const good = (request: Uint8Array) =>
  allow(JSON.parse(Buffer.from(request).toString()) as Parameters<typeof allow>[0]);

/** The issuer hands nothing out, starts no task, and its refusal is recorded. */
async function expectUnavailable(): Promise<void> {
  const tasks = await world.rows('tasks');
  world.services.asked.length = 0;
  const { status, body } = await world.ask();
  expect([status, body['error']]).toEqual([503, 'temporarily_unavailable']);
  expect(body['access_token']).toBeUndefined();
  expect(await world.rows('tasks')).toEqual(tasks);
  expect(world.services.asked.map(({ method }) => method)).not.toContain('revocation.register');
  const [message] = await world.records(1);
  expect(message?.record).toMatchObject({
    event: 'token.refused',
    decision: 'deny',
    reason: 'pdp_unavailable',
    client: 'procurement-agent',
  });
}

describe('an answer in place of the pdp', () => {
  test('row 47: that is signed, whole and about this request is believed: the others fail for their own reason', async () => {
    answer = (request) => {
      const text = reply(request, good(request));
      kept.push({ request, text });
      return text;
    };
    expect((await world.ask()).status).toBe(200);
    await world.records(1);
  });

  test.each<[string, (request: Uint8Array) => string | undefined]>([
    ['nothing', () => undefined],
    ['{}', () => '{}'],
    ['null', () => 'null'],
    ['"true"', () => '"true"'],
    ['an unsigned allow', (request) => JSON.stringify({ body: good(request) })],
    ['a signed nothing', (request) => reply(request, {})],
    ['a signed true', (request) => reply(request, true)],
    [
      'a decision that is a truth value',
      (request) => reply(request, { ...good(request), decision: true }),
    ],
    [
      'another spelling of allow',
      (request) => reply(request, { ...good(request), decision: 'ALLOW' }),
    ],
    ['a member too many', (request) => reply(request, { ...good(request), trusted: true })],
    ['a dimension too few', (request) => reply(request, { ...good(request), dimensions: {} })],
    ['no permissions', (request) => reply(request, { ...good(request), permissions: [] })],
    [
      'no task',
      (request) => {
        const { task: _task, ...rest } = good(request);
        return reply(request, rest);
      },
    ],
    [
      'an answer to another request',
      (request) => reply(request, good(request), { req: sha256('x') }),
    ],
    [
      'an answer of another method',
      (request) => reply(request, good(request), { method: 'pdp.evaluate' }),
    ],
    [
      'an answer for another tenant',
      (request) => reply(request, good(request), { tenant: 'globex' }),
    ],
    [
      'an answer and an error at once',
      (request) => reply(request, good(request), { error: { code: 'INTERNAL', message: 'x' } }),
    ],
    ['an old answer', () => kept[0]?.text],
    [
      'an answer to the same request, asked before',
      (request) => reply(request, good(request), { call: 'f'.repeat(32) }),
    ],
    [
      'an answer of the registry',
      (request) =>
        reply(request, good(request), {}, createSigner(world.infra.signer('registry-bus'))),
    ],
    [
      'a beat in place of an answer',
      (request) => reply(request, good(request), {}, signer, 'remit-beat+jws'),
    ],
  ])('row 47: %s is no decision', async (_name, make) => {
    answer = make;
    await expectUnavailable();
  });
});

test('row 60: whoever has another key can’t join the queue of the pdp to answer', async () => {
  for (const user of ['registry', 'revocation', 'audit', 'issuer', 'operator', 'siem']) {
    await using insider = await rawConnection(world.infra, world.infra.creds(user));
    expect(await insider.subscribe('remit.rpc.pdp.*.*.*', 'pdp'), user).toBe('refused');
  }
});
