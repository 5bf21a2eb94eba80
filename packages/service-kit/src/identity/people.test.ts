import type { LookupRequest, LookupResponse, TenantBody, UserBody } from '@remit/contracts';
import { fixedClock } from '@remit/testkit';
import type { FastifyRequest } from 'fastify';
import { exportJWK, generateKeyPair, type JWK, type JWTHeaderParameters, SignJWT } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Fetch } from './bounded-fetch.ts';
import type { Directory } from './directory.ts';
import { createIdpKeys, type IdpKeys } from './idp-keys.ts';
import { createPeopleAuth, type PeopleAuth, strangerCounter } from './people.ts';

const ISSUER = 'https://idp.test';
const AUDIENCE = 'https://audit.test/t/acme';

type Key = Awaited<ReturnType<typeof generateKeyPair>>;
const pairs = new Map<string, { pair: Key; jwk: JWK }>();
const clock = fixedClock();
let published: string[];
let requests: string[];
let answer: (url: string) => Response | undefined;
let strangers: string[] = [];
let status: { tenant: 'active' | 'inactive'; user: 'active' | 'inactive' };
let keys: IdpKeys;
let people: PeopleAuth;

const fetch: Fetch = async (url, init) => {
  requests.push(url);
  expect(init.redirect).toBe('error');
  const special = answer(url);
  if (special) return special;
  if (url === `${ISSUER}/.well-known/openid-configuration`) {
    return Response.json({ issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` });
  }
  if (url === `${ISSUER}/jwks`)
    return Response.json({ keys: published.map((id) => pairs.get(id)?.jwk) });
  return new Response('', { status: 404 });
};

const tenantBody: TenantBody = {
  kind: 'tenant',
  id: 'acme',
  idps: [{ issuer: ISSUER }],
  admin_groups: { 'remit-admin': ['security'], 'remit-auditor': ['audit'] },
};
const users: Record<string, UserBody> = {
  'd-1': { kind: 'user', id: 'dora', groups: ['security', 'audit'], attributes: {}, grants: [] },
  'a-1': { kind: 'user', id: 'alice', groups: ['staff'], attributes: {}, grants: [] },
};

const directory: Directory = {
  lookup: async (_tenant, { user }: LookupRequest): Promise<LookupResponse> => {
    const found = user && 'sub' in user && user.iss === ISSUER ? users[user.sub] : undefined;
    return {
      revision: 1,
      tenant: { status: status.tenant, body: 'tenant' },
      actors: [],
      ...(found ? { user: { id: found.id, status: status.user, body: found.id, roles: [] } } : {}),
    };
  },
  body: async (_tenant, digest) =>
    (digest === 'tenant'
      ? tenantBody
      : Object.values(users).find(({ id }) => id === digest)) as never,
};

beforeAll(async () => {
  for (const [id, alg] of [
    ['k1', 'ES256'],
    ['k2', 'Ed25519'],
    ['rogue', 'ES256'],
  ] as const) {
    const pair = await generateKeyPair(alg, { extractable: true });
    const kid = id === 'rogue' ? 'k1' : id;
    pairs.set(id, { pair, jwk: { ...(await exportJWK(pair.publicKey)), kid, use: 'sig' } });
  }
});

beforeEach(() => {
  published = ['k1'];
  requests = [];
  answer = () => undefined;
  status = { tenant: 'active', user: 'active' };
  keys = createIdpKeys({ clock, fetch });
  people = createPeopleAuth({
    directory,
    keys,
    audience: (tenant) => `https://audit.test/t/${tenant}`,
    onStranger: (tenant) => strangers.push(tenant),
  });
  strangers = [];
});

type Overrides = {
  claims?: Record<string, unknown>;
  header?: Partial<JWTHeaderParameters>;
  key?: string;
};

async function token({ claims = {}, header = {}, key = 'k1' }: Overrides = {}): Promise<string> {
  const now = Math.floor(clock.now() / 1_000);
  const alg = key === 'k2' ? 'Ed25519' : 'ES256';
  const kid = key === 'rogue' ? 'k1' : key;
  const payload = { iss: ISSUER, sub: 'd-1', aud: AUDIENCE, iat: now, exp: now + 300, ...claims };
  return new SignJWT(payload)
    .setProtectedHeader({ alg, kid, typ: 'at+jwt', ...header })
    .sign(pairs.get(key)?.pair.privateKey as Key['privateKey']);
}

function enter(
  authorization: string | undefined,
  role?: 'remit-admin' | 'remit-auditor',
  times = 1,
) {
  const rawHeaders =
    authorization === undefined
      ? []
      : Array.from({ length: times }, () => ['Authorization', authorization]).flat();
  const request = { headers: { authorization }, raw: { rawHeaders } } as unknown as FastifyRequest;
  return people.require(request, { tenant: 'acme', ...(role ? { role } : {}) });
}

describe('a person', () => {
  it('is who the registry says, with the roles of the groups', async () => {
    const bearer = `Bearer ${await token()}`;
    expect(await enter(bearer, 'remit-admin')).toEqual({
      id: 'dora',
      roles: ['remit-admin', 'remit-auditor'],
    });
    expect(await enter(`bearer ${await token({ claims: { sub: 'a-1' } })}`)).toEqual({
      id: 'alice',
      roles: [],
    });
  });

  it('without the role is refused', async () => {
    const bearer = `Bearer ${await token({ claims: { sub: 'a-1' } })}`;
    await expect(enter(bearer, 'remit-auditor')).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });

  it('who is unknown, disabled, or of a suspended tenant is refused', async () => {
    await expect(enter(`Bearer ${await token({ claims: { sub: 'x' } })}`)).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    status.user = 'inactive';
    await expect(enter(`Bearer ${await token()}`)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    status = { tenant: 'inactive', user: 'active' };
    await expect(enter(`Bearer ${await token()}`)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });

  it('without a token gets a bare challenge', async () => {
    await expect(enter(undefined)).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      headers: { 'www-authenticate': 'Bearer' },
    });
  });

  const now = Math.floor(clock.now() / 1_000);
  // Each line is red when the one check behind it is taken out.
  it.each<[string, Overrides]>([
    ['another audience', { claims: { aud: 'https://pdp.test/t/acme' } }],
    ['a list of audiences', { claims: { aud: [AUDIENCE] } }],
    ['no audience', { claims: { aud: undefined } }],
    ['another issuer', { claims: { iss: 'https://issuer.test/t/acme' } }],
    ['an issuer that differs by a slash', { claims: { iss: `${ISSUER}/` } }],
    ['an end that is past', { claims: { exp: now - 10 } }],
    ['no end', { claims: { exp: undefined } }],
    ['a beginning that is not yet', { claims: { nbf: now + 60 } }],
    ['an issue time in the future', { claims: { iat: now + 60 } }],
    ['no issue time', { claims: { iat: undefined } }],
    ['the type of an ID token', { header: { typ: 'JWT' } }],
    ['no type', { header: { typ: undefined as unknown as string } }],
    ['a critical header', { header: { crit: ['b64'], b64: true } }],
    ['a key binding', { claims: { cnf: { jkt: 'x' } } }],
    ['the signature of another key', { key: 'rogue' }],
    ['an unpublished key', { key: 'k2' }],
  ])('with %s is refused', async (_, overrides) => {
    await expect(enter(`Bearer ${await token(overrides)}`, 'remit-admin')).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
    });
  });

  it('with a malformed token, an unsigned one, or another scheme is refused', async () => {
    const good = await token();
    const [, payload] = good.split('.');
    const none = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${payload}.x`;
    const hs = `${Buffer.from('{"alg":"HS256","typ":"at+jwt","kid":"k1"}').toString('base64url')}.${payload}.x`;
    for (const bad of [
      `Bearer ${none}`,
      `Bearer ${hs}`,
      'Bearer a.b',
      'Bearer x',
      'Bearer',
      `DPoP ${good}`,
      `Bearer ${good} `,
      `Bearer ${good}.x`,
    ]) {
      await expect(enter(bad), bad.slice(0, 20)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    await expect(enter(`Bearer ${good}`, undefined, 2)).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
  });

  it('with a token that says a claim twice is refused', async () => {
    const [header, , signature] = (await token()).split('.');
    const text = `{"iss":"${ISSUER}","sub":"d-1","sub":"a-1","aud":"${AUDIENCE}"}`;
    const twice = `${header}.${Buffer.from(text).toString('base64url')}.${signature}`;
    await expect(enter(`Bearer ${twice}`)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });
});

describe('a stranger', () => {
  it('is told of, with a token that does not verify or without any', async () => {
    await expect(enter(undefined)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    await expect(enter(`Bearer ${await token({ key: 'rogue' })}`)).rejects.toThrow();
    expect(strangers).toEqual(['acme', 'acme']);
    status = { tenant: 'active', user: 'inactive' };
    await expect(enter(`Bearer ${await token()}`)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    expect(strangers).toHaveLength(2);
  });

  // Red when the tenant's status is judged before the signature: FORBIDDEN leaves a record, so that
  // anybody could write as many as they like.
  it('is one also where the tenant is not active', async () => {
    status = { tenant: 'inactive', user: 'active' };
    await expect(enter(`Bearer ${await token({ key: 'rogue' })}`)).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    await expect(enter(`Bearer ${await token()}`)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });

  it('is counted for a tenant that there is, and begins no ledger of another name', () => {
    const counted: string[] = [];
    const recorder = { countStranger: (tenant: string) => void counted.push(tenant) };
    const count = strangerCounter(recorder, { tenants: { acme: {} } } as never);
    for (const tenant of ['acme', 'initech', 'constructor', '__proto__']) count(tenant, '10.0.0.1');
    expect(counted).toEqual(['acme']);
  });
});

describe('keys of an identity provider', () => {
  it('are asked for once', async () => {
    await Promise.all([1, 2, 3].map(async () => enter(`Bearer ${await token()}`)));
    expect(requests).toEqual([`${ISSUER}/.well-known/openid-configuration`, `${ISSUER}/jwks`]);
  });

  it('are asked for again at once when a new key signs, and once per cooldown for forged key ids', async () => {
    await enter(`Bearer ${await token()}`);
    published = ['k1', 'k2'];
    expect((await enter(`Bearer ${await token({ key: 'k2' })}`)).id).toBe('dora');
    expect(requests).toHaveLength(4);
    for (let i = 0; i < 5; i++) {
      await expect(
        enter(`Bearer ${await token({ header: { kid: `x${i}` } })}`),
      ).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
      });
    }
    expect(requests).toHaveLength(4);
    clock.advance(10_000);
    await expect(enter(`Bearer ${await token({ header: { kid: 'y' } })}`)).rejects.toThrow();
    expect(requests).toHaveLength(6);
  });

  it('that a provider withdrew are not believed after 10 minutes', async () => {
    await enter(`Bearer ${await token()}`);
    published = ['k2'];
    clock.advance(600_000);
    await expect(enter(`Bearer ${await token()}`)).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
  });

  it('outlive a provider that is away, for an hour', async () => {
    await enter(`Bearer ${await token()}`);
    answer = () => new Response('', { status: 500 });
    clock.advance(3_500_000);
    expect((await enter(`Bearer ${await token()}`)).id).toBe('dora');
    clock.advance(200_000);
    await expect(enter(`Bearer ${await token()}`)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it.each<[string, (url: string) => Response | undefined]>([
    [
      'another issuer in its discovery',
      (url) =>
        url.endsWith('configuration')
          ? Response.json({ issuer: 'https://evil.test', jwks_uri: `${ISSUER}/jwks` })
          : undefined,
    ],
    [
      'keys without TLS',
      (url) =>
        url.endsWith('configuration')
          ? Response.json({ issuer: ISSUER, jwks_uri: 'http://idp.test/jwks' })
          : undefined,
    ],
    ['too much', (url) => (url.endsWith('jwks') ? new Response(' '.repeat(300_000)) : undefined)],
    ['no JSON', (url) => (url.endsWith('jwks') ? new Response('x') : undefined)],
    ['no keys', (url) => (url.endsWith('jwks') ? Response.json({}) : undefined)],
  ])('are not taken from a provider that answers with %s', async (_, special) => {
    answer = special;
    await expect(enter(`Bearer ${await token()}`)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
