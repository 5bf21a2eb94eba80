import { type Bus, connectBus, createVerifier, type Verifier } from '@remit/bus';
import {
  bodyDigest,
  conform,
  type LookupResponse,
  registryChanged,
  SIGNED,
  sourceBeat,
  subjects,
} from '@remit/contracts';
import { openEnvelope, readBody, requireKind } from '@remit/service-kit';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from './app.ts';
import { ACME, GLOBEX, load, silent, testConfig, testIdp } from './test/fixture.ts';

let infra: TestInfra;
let app: Awaited<ReturnType<typeof build>>;
let issuer: Bus;
let verifier: Verifier;
let idp: Awaited<ReturnType<typeof testIdp>>;

beforeAll(async () => {
  infra = await testInfra({ services: ['registry'] });
  idp = await testIdp();
  await load(infra, { ...ACME, ...GLOBEX });
  app = await build(testConfig(infra), { log: silent, fetch: idp.fetch });
  // The stream AUDIT is the audit service's; here records go to the spool.
  await app.start();
  issuer = await connectBus({ url: infra.natsUrl, ...infra.creds('issuer'), name: 'test' });
  verifier = createVerifier(infra.trust().keys.registry);
});
afterAll(async () => {
  await issuer?.close();
  await app?.stop();
  await infra?.[Symbol.asyncDispose]();
});

function lookup(tenant: string, body: Parameters<typeof issuer.call<'registry.lookup'>>[2]) {
  return issuer.call('registry.lookup', tenant, body, { verifier });
}

async function bodyOf(tenant: string, digest: string) {
  const { text } = await issuer.call('registry.body', tenant, { digest }, { verifier });
  return readBody(text, digest);
}

function post(path: string, token?: string) {
  return app.http.inject({
    method: 'POST',
    url: path,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
}

describe('a look-up', () => {
  // Red when a name goes to PostgreSQL as it came: it holds no NUL, and the answer is an error.
  it('finds nothing under names that no database can hold', async () => {
    const names = {
      actors: ['helper\u0000', 'helper'],
      task_type: 'summary\u0000',
      audience: 'https://erp.test\u0000',
    };
    for (const user of [{ id: 'alice\u0000' }, { iss: 'https://idp.test', sub: 'a-1\u0000' }]) {
      const found = await lookup('acme', { ...names, user });
      expect(found.actors.map(({ id }) => id)).toEqual(['helper']);
      expect([found.user, found.task_type, found.tool]).toEqual([undefined, undefined, undefined]);
    }
  });

  it('answers everything of a decision at once', async () => {
    const found = await lookup('acme', {
      actors: ['helper', 'nobody'],
      user: { iss: 'https://idp.test', sub: 'a-1' },
      task_type: 'look-up',
      audience: 'https://erp.test',
      tools: true,
    });
    const digest = expect.stringMatching(/^sha256:[A-Za-z0-9_-]{43}$/);
    expect(found).toEqual({
      revision: 1,
      tenant: { status: 'active', body: digest },
      actors: [{ id: 'helper', status: 'active', body: digest, envelope: digest }],
      user: { id: 'alice', status: 'active', body: digest, roles: [digest, digest] },
      task_type: { id: 'look-up', body: digest },
      tool: { id: 'erp', body: digest },
      tools: [{ id: 'erp', body: digest }],
    });
  });

  it('leaves out what does not exist or was not asked for', async () => {
    const found = await lookup('acme', {
      actors: [],
      user: { id: 'nobody' },
      audience: 'https://x.test',
    });
    expect(Object.keys(found).toSorted()).toEqual(['actors', 'revision', 'tenant']);
  });

  it('gives the roles of groups beside direct ones', async () => {
    const found = await lookup('acme', { actors: [], user: { id: 'alice' } });
    const roles = await Promise.all((found.user?.roles ?? []).map((role) => bodyOf('acme', role)));
    expect(roles.map((role) => requireKind(role, 'role', '').id)).toEqual(['reader', 'writer']);
  });

  it('never crosses into another tenant', async () => {
    const found = await lookup('globex', {
      actors: ['helper'],
      user: { id: 'alice' },
      tools: true,
    });
    expect(found).toMatchObject({ actors: [], tools: [] });
    expect(found.user).toBeUndefined();
    const { tenant } = await lookup('acme', { actors: [] });
    await expect(bodyOf('globex', tenant.body)).rejects.toMatchObject({
      code: 'CALL_REFUSED',
      details: { code: 'NOT_FOUND' },
    });
  });

  it('of an unknown tenant is refused', async () => {
    await expect(lookup('nowhere', { actors: [] })).rejects.toMatchObject({
      code: 'CALL_REFUSED',
      details: { code: 'TENANT_UNKNOWN' },
    });
  });
});

describe('a body', () => {
  it('is the text that its digest names', async () => {
    const { tenant } = await lookup('acme', { actors: [] });
    const answer = await issuer.call(
      'registry.body',
      'acme',
      { digest: tenant.body },
      { verifier },
    );
    expect(bodyDigest(answer.text)).toBe(tenant.body);
    expect(await bodyOf('acme', tenant.body)).toMatchObject({
      kind: 'tenant',
      idps: [{ issuer: 'https://idp.test' }],
    });
  });

  it('of an envelope opens for its own agent alone', async () => {
    const { actors } = await lookup('acme', { actors: ['helper'] });
    const digest = (actors[0] as LookupResponse['actors'][0]).envelope;
    const body = requireKind(await bodyOf('acme', digest), 'envelope', digest);
    const keys = createVerifier(infra.trust().keys.envelope);
    expect(openEnvelope(keys, body, { tenant: 'acme', agent: 'helper' })).toEqual({
      tenant: 'acme',
      agent: 'helper',
      version: 1,
      permissions: [{ actions: ['things.read'], resources: ['erp/things/*'], args: [] }],
    });
    expect(() => openEnvelope(keys, body, { tenant: 'globex', agent: 'helper' })).toThrow(
      'an envelope was signed for somebody else',
    );
    // Red when openEnvelope does not verify: these are the registry's other keys.
    expect(() => openEnvelope(verifier, body, { tenant: 'acme', agent: 'helper' })).toThrow(
      expect.objectContaining({ code: 'EVENT_SIGNATURE_INVALID' }),
    );
  });
});

describe('an administrator', () => {
  it('disables and enables a user; look-ups say so at once and one event follows each', async () => {
    const events = collectEvents();
    const token = await idp.token('d-1');
    const before = await lookup('acme', { actors: [], user: { id: 'alice' } });
    const answer = await post('/t/acme/users/alice/disable', token);
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toEqual({
      id: 'alice',
      status: 'inactive',
      revision: before.revision + 1,
    });
    const after = await lookup('acme', { actors: [], user: { id: 'alice' } });
    expect(after.user?.status).toBe('inactive');
    // A second time changes nothing.
    expect((await post('/t/acme/users/alice/disable', token)).json().revision).toBe(after.revision);
    expect((await post('/t/acme/users/alice/enable', token)).json().status).toBe('active');
    const [first, second] = await events(2);
    expect(first).toMatchObject({
      type: 'dev.remit.registry.changed.v1',
      subject: 'acme',
      data: { entity: 'user', id: 'alice', change: 'deactivated', revision: before.revision + 1 },
    });
    expect(second?.data.change).toBe('activated');
    expect(second?.data.seq).toBe((first?.data.seq ?? 0) + 1);
  });

  it('suspends an agent, and a load of the same folder does not resume it', async () => {
    const token = await idp.token('d-1');
    expect((await post('/t/acme/agents/helper/suspend', token)).json().status).toBe('inactive');
    await load(infra, { ...ACME, ...GLOBEX });
    expect((await lookup('acme', { actors: ['helper'] })).actors[0]?.status).toBe('inactive');
    expect((await post('/t/acme/agents/helper/resume', token)).json().status).toBe('active');
  });

  it('reads a user, as an auditor does', async () => {
    const url = '/t/acme/users/alice';
    const headers = { authorization: `Bearer ${await idp.token('e-1')}` };
    const answer = await app.http.inject({ url, headers });
    expect(answer.json()).toMatchObject({
      id: 'alice',
      status: 'active',
      groups: ['staff'],
      roles: ['reader', 'writer'],
    });
  });

  it('gets 404 for a user that is not there', async () => {
    const answer = await post('/t/acme/users/nobody/disable', await idp.token('d-1'));
    expect(answer.json()).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  });
});

describe('somebody else', () => {
  // Red when a route does not go through guard.enter.
  it.each([
    ['no token', async () => undefined, '/t/acme', 401, 'UNAUTHENTICATED'],
    ['a user without a role', () => idp.token('a-1'), '/t/acme', 403, 'FORBIDDEN'],
    ['an auditor', () => idp.token('e-1'), '/t/acme', 403, 'FORBIDDEN'],
    ['an unknown person', () => idp.token('x-1'), '/t/acme', 403, 'FORBIDDEN'],
    ["another tenant's administrator", () => idp.token('g-1'), '/t/acme', 403, 'FORBIDDEN'],
    [
      'a token for another service',
      () => idp.token('d-1', 'https://pdp.test/t/acme'),
      '/t/acme',
      401,
      'UNAUTHENTICATED',
    ],
    [
      'a token for another tenant',
      () => idp.token('d-1', 'https://registry.test/t/globex'),
      '/t/acme',
      401,
      'UNAUTHENTICATED',
    ],
    ['a tenant that there is not', () => idp.token('d-1'), '/t/nowhere', 404, 'TENANT_UNKNOWN'],
  ])('is refused with %s, and nothing changes', async (_, token, base, status, code) => {
    const before = await lookup('acme', { actors: ['helper'], user: { id: 'alice' } });
    for (const path of ['users/alice/disable', 'agents/helper/suspend']) {
      const answer = await post(`${base}/${path}`, await token());
      expect(answer.statusCode).toBe(status);
      expect(answer.json().code).toBe(code);
      if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
    }
    expect(await lookup('acme', { actors: ['helper'], user: { id: 'alice' } })).toEqual(before);
  });
});

describe('the feed', () => {
  it('beats with the committed head, signed', async () => {
    const pdp = await connectBus({
      url: infra.natsUrl,
      ...infra.creds('revocation'),
      name: 'test',
    });
    try {
      const { promise, resolve } = Promise.withResolvers<Uint8Array>();
      pdp.subscribe(subjects.registryBeat, (_, bytes) => resolve(bytes));
      const payload = Buffer.from(verifier.verify(SIGNED.beat, await promise)).toString();
      const beat = conform(sourceBeat, JSON.parse(payload));
      expect(beat).toMatchObject({ source: 'registry' });
      expect(beat.head).toBeGreaterThan(0);
    } finally {
      await pdp.close();
    }
  });
});

describe('the keys', () => {
  it('of both purposes are published, public halves only', async () => {
    const answer = await app.http.inject('/.well-known/jwks.json');
    const { keys } = answer.json<{ keys: Record<string, unknown>[] }>();
    expect(keys).toHaveLength(2);
    for (const key of keys) expect(key).not.toHaveProperty('d');
  });
});

/** Starts reading the stream; gives the user events that come from now on. */
function collectEvents() {
  const seen: ReturnType<typeof read>[] = [];
  let wake: () => void = () => undefined;
  const pdp = connectBus({ url: infra.natsUrl, ...infra.creds('pdp'), name: 'events' });
  const ready = pdp.then(async (bus) => {
    const consumption = bus.consume(
      { stream: 'REGISTRY', durable: 'pdp', consumer: { deliver: 'new' } },
      async (messages) => {
        for (const { subject, data } of messages) {
          if (subject === 'remit.registry.acme.user') seen.push(read(data));
        }
        wake();
      },
    );
    await consumption.ready;
    return consumption;
  });
  return async (count: number) => {
    await ready;
    while (seen.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    await (await pdp).close();
    return seen;
  };
}

function read(data: Uint8Array) {
  const text = Buffer.from(verifier.verify(SIGNED.registry, data)).toString();
  return conform(registryChanged, JSON.parse(text));
}
