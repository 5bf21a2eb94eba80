import { connectBus, createVerifier } from '@remit/bus';
import { cloudEvent, conform, durables, policyEvent, SIGNED } from '@remit/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../test/world.ts';

let world: World;
let admin: string;
let auditor: string;

beforeAll(async () => {
  world = await startWorld();
  admin = await world.token('dora');
  auditor = await world.token('erin');
});
afterAll(() => world?.[Symbol.asyncDispose]());

const URL_POLICIES = '/t/acme/admin/v1/policies';
const noExport =
  '@id("no-export") forbid (principal, action == Action::"suppliers.export", resource);';
const passing = `
- title: nobody exports suppliers
  request: { agents: [procurement-agent], user: alice, action: suppliers.export, resource: erp/suppliers }
  expect: { decision: deny, reason: policy_forbid, policies: [no-export] }
- title: reading goes on
  request: { agents: [procurement-agent], user: alice, action: suppliers.read, resource: erp/suppliers/S-1 }
  expect: { decision: allow, reason: permitted }
`;

const upload = (files: unknown, { token = admin, message = 'first' } = {}) =>
  world.pdp.http.inject({
    method: 'POST',
    url: URL_POLICIES,
    headers: { authorization: `Bearer ${token}` },
    payload: { message, files },
  });
const activate = (version: string, token = admin) =>
  world.pdp.http.inject({
    method: 'POST',
    url: `${URL_POLICIES}/${version}/activate`,
    headers: { authorization: `Bearer ${token}` },
  });
const list = async (tenant = 'acme', sub = 'erin') => {
  const token = await world.token(sub, { aud: `http://pdp.test/t/${tenant}` });
  const answer = await world.pdp.http.inject({
    url: `/t/${tenant}/admin/v1/policies`,
    headers: { authorization: `Bearer ${token}` },
  });
  return answer.json<{
    active?: { version: string };
    versions: { version: string; number: number }[];
  }>();
};

describe('a policy set', () => {
  it('becomes an immutable version after its checks and tests, and decides when it is activated', async () => {
    const files = { 'export.cedar': noExport, 'tests/export.yaml': passing };
    const first = await upload(files);
    expect(first.statusCode).toBe(201);
    const made = first.json<{ version: string }>();
    expect(made).toEqual({
      number: 1,
      version: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      created: true,
      policies: 1,
      tests: 2,
    });
    expect(await list()).toMatchObject({
      versions: [{ number: 1, author: 'dora', message: 'first' }],
    });
    expect((await list()).active).toBeUndefined();
    const record = await world.recorded(({ event }) => event === 'policy.uploaded');
    expect(record).toMatchObject({
      tenant: 'acme',
      decision: 'allow',
      policy_version: made.version,
      principal: { c: expect.any(String) },
      detail: { number: 1, policies: 1, tests: 2 },
    });

    const again = await upload(files, { message: 'again' });
    expect(again.statusCode).toBe(200);
    expect(again.json()).toMatchObject({ number: 1, version: made.version, created: false });

    const before = await world.pdp.policies.active('acme');
    expect(before.guardrails).toEqual([]);
    expect((await activate(made.version)).json()).toEqual({
      number: 1,
      version: made.version,
      changed: true,
    });
    expect((await world.pdp.policies.active('acme')).version).toBe(made.version);
    expect((await list()).active).toEqual({ number: 1, version: made.version });
    expect((await activate(made.version)).json()).toMatchObject({ changed: false });
    expect(await world.recorded(({ event }) => event === 'policy.activated')).toMatchObject({
      policy_version: made.version,
      detail: { number: 1, change: 'activated', replaces: 'none' },
    });
  });

  it('of one tenant is nothing to another', async () => {
    expect(await list('globex')).toEqual({ versions: [] });
    expect((await world.pdp.policies.active('globex')).guardrails).toEqual([]);
  });

  it('is announced in signed events, in the order of their sequences', async () => {
    const second = (await upload({ 'a.cedar': noExport.replace('no-export', 'second') })).json<{
      version: string;
    }>();
    const [first] = (await list()).versions.toReversed() as unknown as [{ version: string }];
    await activate(second.version);
    expect((await activate(first.version)).json()).toMatchObject({ number: 1, changed: true });

    const { infra } = world;
    await using bus = await connectBus({
      url: infra.natsUrl,
      ...infra.creds('revocation'),
      name: 'follower',
    });
    const verifier = createVerifier({ keys: infra.trust().keys.pdp });
    const { promise, resolve } = Promise.withResolvers<void>();
    const events: unknown[] = [];
    const { stream, durable } = durables.policyRevocation;
    bus.consume({ stream, durable, consumer: {} }, async (messages) => {
      for (const { subject, data } of messages) {
        expect(subject).toBe('remit.policy.acme');
        const payload = verifier.verify(SIGNED.policy, Buffer.from(data).toString('ascii'));
        events.push(conform(cloudEvent(policyEvent), JSON.parse(Buffer.from(payload).toString())));
      }
      if (events.length >= 3) resolve();
    });
    await promise;
    expect(events).toMatchObject([
      {
        type: 'dev.remit.policy.activated.v1',
        subject: 'acme',
        data: { seq: 1, number: 1, change: 'activated' },
      },
      {
        type: 'dev.remit.policy.activated.v1',
        data: { seq: 2, number: 2, version: second.version },
      },
      {
        type: 'dev.remit.policy.rolled_back.v1',
        data: { seq: 3, number: 1, change: 'rolled_back' },
      },
    ]);
  });
});

describe('a set that is not acceptable', () => {
  const refusedWith = async (files: Record<string, string>, message: RegExp, at: object = {}) => {
    const before = await list();
    const answer = await upload(files);
    expect(answer.statusCode).toBe(422);
    expect(answer.headers['content-type']).toContain('application/problem+json');
    const body = answer.json<{ code: string; problems: object[] }>();
    expect(body.code).toBe('POLICY_INVALID');
    expect(body.problems).toContainEqual(
      expect.objectContaining({ message: expect.stringMatching(message), ...at }),
    );
    expect(await list()).toEqual(before);
  };

  it('is refused with position and reason, and changes nothing', async () => {
    await refusedWith({ 'a.cedar': 'forbid' }, /unexpected end/, { file: 'a.cedar', line: 1 });
    await refusedWith(
      { 'a.cedar': '@id("a")\nforbid (principal, action == Action::"suppliers.rad", resource);' },
      /unrecognized action/,
      { file: 'a.cedar', line: 2, column: 30 },
    );
    await refusedWith(
      { 'a.cedar': '@id("a") permit (principal, action, resource);' },
      /only forbid/,
    );
    await refusedWith({ '../a.cedar': noExport }, /NAME\.cedar/);
    await refusedWith({ 'a.CEDAR': noExport }, /NAME\.cedar/);
  });

  // Leave out the run of the tests in upload and this goes red.
  it('is refused when one of its own tests fails, by the line of the test', async () => {
    await refusedWith(
      { 'a.cedar': noExport, 'tests/a.yaml': passing.replace('deny', 'allow') },
      /^"nobody exports suppliers": expected allow, got deny \(policy_forbid: no-export\)$/,
      { file: 'tests/a.yaml', line: 2 },
    );
    await refusedWith(
      {
        'a.cedar': noExport,
        'tests/a.yaml': passing.replace('reason: permitted', 'reason: task_scope'),
      },
      /expected the reason task_scope, got permitted/,
    );
    await refusedWith(
      { 'a.cedar': noExport, 'tests/a.yaml': passing.replace('[no-export]', '[other]') },
      /expected the policies other, got no-export/,
    );
  });

  it('is refused when its tests cannot be read', async () => {
    const tests = (text: string) => ({ 'a.cedar': noExport, 'tests/a.yaml': text });
    await refusedWith(tests('- title: x\n  title: y'), /unique/, { line: 2 });
    await refusedWith(tests('a: &a [1]\nb: *a'), /.*/);
    await refusedWith(tests('[]'), /fewer/);
    await refusedWith(tests(passing.replace('expect:', 'expects:')), /.*/);
    await refusedWith(
      tests(passing.replace('action: suppliers.export', 'action: suppliers.fly')),
      /no tool of the registry has the action suppliers.fly/,
    );
  });

  it('is not read at all when the request is not one', async () => {
    const before = await list();
    const post = (payload: string, headers: Record<string, string> = {}) =>
      world.pdp.http.inject({
        method: 'POST',
        url: URL_POLICIES,
        headers: {
          authorization: `Bearer ${admin}`,
          'content-type': 'application/json',
          ...headers,
        },
        payload,
      });
    const good = JSON.stringify({ message: 'm', files: { 'a.cedar': noExport } });
    const cases: [string, Record<string, string>, number, string][] = [
      ['{', {}, 400, 'INVALID_REQUEST'],
      [good.replace('{', '{"message":"twice",'), {}, 400, 'INVALID_REQUEST'],
      [good.replace('"message"', '"extra":1,"message"'), {}, 400, 'INVALID_REQUEST'],
      ['{"message":"m","files":{}}', {}, 400, 'INVALID_REQUEST'],
      ['{"message":"m","files":{"a.cedar":1}}', {}, 400, 'INVALID_REQUEST'],
      ['{"files":{"a.cedar":""}}', {}, 400, 'INVALID_REQUEST'],
      [good, { 'content-type': 'text/plain' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
      [
        `{"message":"m","files":{"a.cedar":"${'x'.repeat(2_100_000)}"}}`,
        {},
        413,
        'PAYLOAD_TOO_LARGE',
      ],
    ];
    for (const [payload, headers, status, code] of cases) {
      const answer = await post(payload, headers);
      expect(
        [answer.statusCode, answer.json<{ code: string }>().code],
        payload.slice(0, 60),
      ).toEqual([status, code]);
    }
    expect(await list()).toEqual(before);
  });

  it('is not activated: an unknown version is not found', async () => {
    const before = await list();
    const answer = await activate('A'.repeat(43));
    expect(answer.statusCode).toBe(404);
    expect(answer.json<{ code: string }>().code).toBe('NOT_FOUND');
    expect(await list()).toEqual(before);
  });
});

describe('who may touch policies', () => {
  it('is an administrator of this tenant; an auditor may only look', async () => {
    const before = await list();
    const files = { 'a.cedar': noExport.replace('no-export', 'mine') };
    const cases: [string, number, string][] = [
      [await world.token('alice'), 403, 'FORBIDDEN'],
      [auditor, 403, 'FORBIDDEN'],
      [await world.token('nobody'), 403, 'FORBIDDEN'],
      [await world.token('dora', { aud: 'http://pdp.test/t/globex' }), 401, 'UNAUTHENTICATED'],
      [await world.token('dora', { aud: ['http://pdp.test/t/acme'] }), 401, 'UNAUTHENTICATED'],
      [await world.token('dora', { exp: 1_000 }), 401, 'UNAUTHENTICATED'],
      ['x', 401, 'UNAUTHENTICATED'],
    ];
    for (const [token, status, code] of cases) {
      const answer = await upload(files, { token });
      expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([status, code]);
      expect((await activate(before.versions[0]?.version as string, token)).statusCode).toBe(
        status,
      );
    }
    expect(await list()).toEqual(before);
    expect(
      await world.recorded(
        ({ event, reason }) => event === 'admin.refused' && reason === 'person_not_allowed',
      ),
    ).toMatchObject({ decision: 'deny' });
  });
});
