import { randomUUID } from 'node:crypto';
import type { PublicJwk } from '@remit/contracts';
import * as dpop from 'dpop';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { READ } from './test/fake-services.ts';
import { agent } from './test/registry-bodies.ts';
import { DETAILS, ISSUER, startWorld, TOOL, type World } from './test/world.ts';

// What the metadata states is tried, one value after the other, and what it does not state is not taken.

type Metadata = Record<string, string & string[]>;
let world: World;
let metadata: Metadata;
beforeAll(async () => {
  world = await startWorld();
  metadata = (
    await world.app.http.inject({ url: '/.well-known/oauth-authorization-server/t/acme' })
  ).json<Metadata>();
});
afterAll(() => world[Symbol.asyncDispose]());

const ENDPOINTS = ['token', 'introspection', 'revocation'] as const;
const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

async function post(url: string, form: Record<string, string>, headers: object = {}) {
  const response = await world.app.http.inject({
    method: 'POST',
    url: new URL(url).pathname,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    payload: new URLSearchParams(form).toString(),
  });
  return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
}

const made = new Map<string, ReturnType<typeof makeKey>>();
/** A key of an algorithm, or a secret for an HMAC; made once, for RSA takes its time. */
function keyOf(alg: string): ReturnType<typeof makeKey> {
  const key = made.get(alg) ?? makeKey(alg);
  made.set(alg, key);
  return key;
}
async function makeKey(alg: string): Promise<{ sign: CryptoKeyOrSecret; publicJwk: JWK }> {
  if (alg.startsWith('HS')) {
    return { sign: new TextEncoder().encode('a secret of 64 bytes'.padEnd(64)), publicJwk: {} };
  }
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { sign: privateKey, publicJwk: await exportJWK(publicKey) };
}
type CryptoKeyOrSecret = Parameters<SignJWT['sign']>[0];

/** Gives the client, and a tool, one key of this algorithm and signs an assertion with it. */
async function assertionBy(alg: string, id: string): Promise<string> {
  const { sign, publicJwk } = await keyOf(alg);
  const acme = world.services.tenants.get('acme');
  const keys = Object.keys(publicJwk).length > 0 ? [publicJwk as PublicJwk] : undefined;
  const body = agent('procurement-agent', world.clientKey, keys && { keys });
  acme?.agents.set('procurement-agent', { body, status: 'active' });
  if (acme) acme.toolKeys = new Map([[TOOL, body.keys]]);
  const now = world.clock.nowSeconds();
  return new SignJWT({})
    .setProtectedHeader({ alg, typ: 'client-authentication+jwt' })
    .setIssuer(id)
    .setSubject(id)
    .setAudience(ISSUER)
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(now + 60)
    .sign(sign);
}

/** A request for which the endpoint has no word to say but about the client. */
async function authenticated(endpoint: (typeof ENDPOINTS)[number], alg: string) {
  const id = endpoint === 'introspection' ? TOOL : 'procurement-agent';
  const by = { client_assertion_type: TYPE, client_assertion: await assertionBy(alg, id) };
  const url = String(metadata[`${endpoint}_endpoint`]);
  if (endpoint !== 'token') return post(url, { ...by, token: 'x' });
  const form = (await world.form(by)) as Record<string, string>;
  return post(url, form, { dpop: world.proof() });
}

describe('what the metadata states', () => {
  it('names this issuer, and nothing that no test below tries', () => {
    expect(metadata.issuer).toBe(ISSUER);
    expect(Object.keys(metadata).toSorted()).toEqual(
      [
        'authorization_details_types_supported',
        'dpop_signing_alg_values_supported',
        'grant_types_supported',
        'issuer',
        'jwks_uri',
        'response_types_supported',
        ...ENDPOINTS.flatMap((name) => [
          `${name}_endpoint`,
          `${name}_endpoint_auth_methods_supported`,
          `${name}_endpoint_auth_signing_alg_values_supported`,
        ]),
      ].toSorted(),
    );
    expect(metadata.response_types_supported).toEqual([]);
  });

  it('keys are at jwks_uri', async () => {
    const { pathname } = new URL(String(metadata.jwks_uri));
    const { keys } = (await world.app.http.inject({ url: pathname })).json<{ keys: JWK[] }>();
    expect(keys.map(({ alg }) => alg)).toEqual(['ML-DSA-65']);
  });

  describe.each(ENDPOINTS)('the %s endpoint', (endpoint) => {
    it('takes each algorithm of assertions that is listed', async () => {
      const listed = metadata[`${endpoint}_endpoint_auth_signing_alg_values_supported`] ?? [];
      expect(listed.length).toBeGreaterThan(0);
      for (const alg of listed) expect((await authenticated(endpoint, alg)).status, alg).toBe(200);
    });

    it.each(['EdDSA', 'ES384', 'ES512', 'RS256', 'PS256', 'HS256'])(
      'does not take %s, which is not listed',
      async (alg) => {
        expect(metadata[`${endpoint}_endpoint_auth_signing_alg_values_supported`]).not.toContain(
          alg,
        );
        const { status, body } = await authenticated(endpoint, alg);
        expect([status, body.error]).toEqual([401, 'invalid_client']);
      },
    );

    it('takes no other method than the listed one', async () => {
      expect(metadata[`${endpoint}_endpoint_auth_methods_supported`]).toEqual(['private_key_jwt']);
      const url = String(metadata[`${endpoint}_endpoint`]);
      const basic = { authorization: `Basic ${btoa('procurement-agent:secret')}` };
      const form = {
        client_id: 'procurement-agent',
        ...(endpoint === 'token' ? {} : { token: 'x' }),
      };
      for (const headers of [{}, basic]) {
        const { status, body } = await post(url, form, headers);
        expect([status, body.error]).toEqual([401, 'invalid_client']);
      }
      const secret = await post(url, { ...form, client_secret: 'secret' });
      expect([secret.status, secret.body.error]).toEqual([400, 'invalid_request']);
    });
  });

  it('proofs may have each listed algorithm and no other', async () => {
    await assertionBy('Ed25519', 'procurement-agent');
    const acme = world.services.tenants.get('acme');
    acme?.agents.set('procurement-agent', {
      body: agent('procurement-agent', world.clientKey),
      status: 'active',
    });
    const listed = metadata.dpop_signing_alg_values_supported ?? [];
    for (const alg of listed) {
      const pair = await dpop.generateKeyPair(alg as dpop.JWSAlgorithm);
      const proof = await proofOf(alg, pair);
      const { body } = await world.ask({}, { proof });
      expect(body.token_type, alg).toBe('DPoP');
    }
    for (const alg of ['RS256', 'PS256'] as const) {
      expect(listed).not.toContain(alg);
      const proof = await proofOf(alg, await dpop.generateKeyPair(alg));
      const { body } = await world.ask({}, { proof });
      expect([body.error, body.reason], alg).toEqual(['invalid_dpop_proof', 'proof_invalid']);
    }
  });

  /** The library keeps its own time, so the proof is signed by hand over its key. */
  async function proofOf(alg: string, { privateKey, publicKey }: dpop.KeyPair): Promise<string> {
    const { kty, crv, x, y, n, e } = await exportJWK(publicKey);
    const jwk = Object.fromEntries(
      Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined),
    );
    return new SignJWT({ htm: 'POST', htu: String(metadata.token_endpoint) })
      .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk })
      .setJti(randomUUID())
      .setIssuedAt(world.clock.nowSeconds())
      .sign(privateKey);
  }

  it('there is the listed grant and no other', async () => {
    expect(metadata.grant_types_supported).toEqual([
      'urn:ietf:params:oauth:grant-type:token-exchange',
    ]);
    for (const grant of metadata.grant_types_supported ?? []) {
      expect((await world.ask({ grant_type: grant })).status).toBe(200);
    }
    for (const grant of [
      'client_credentials',
      'authorization_code',
      'refresh_token',
      'password',
      'urn:ietf:params:oauth:grant-type:jwt-bearer',
      'urn:openid:params:grant-type:ciba',
    ]) {
      const { status, body } = await world.ask({ grant_type: grant });
      expect([status, body.error], grant).toEqual([400, 'unsupported_grant_type']);
    }
  });

  it('authorization details have the listed types and no other', async () => {
    expect(metadata.authorization_details_types_supported).toEqual([
      'urn:remit:task:1',
      'urn:remit:capability:1',
    ]);
    const ask = (type: string) =>
      world.ask({ authorization_details: JSON.stringify([DETAILS[0], { ...READ, type }]) });
    expect((await ask('urn:remit:capability:1')).status).toBe(200);
    for (const type of ['urn:remit:capability:2', 'urn:remit:task:2', 'payment_initiation']) {
      const { status, body } = await ask(type);
      expect([status, body.error], type).toEqual([400, 'invalid_authorization_details']);
    }
  });
});
