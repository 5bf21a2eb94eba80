import { generateKeyPairSync } from 'node:crypto';
import { importSigner } from '@remit/capability';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectNothingChanged, ISSUER, startWorld, type World } from '../test/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.asked.length = 0;
});

const stranger = importSigner({
  ...generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }),
});

describe('an ID token', () => {
  const cases: [string, () => Promise<string> | string, string, string][] = [
    ['that is none', () => 'x', 'The subject token is not a JWT.', 'subject_token_invalid'],
    [
      'without issuer',
      () => world.idp.idToken({ iss: undefined }),
      'The subject token has no issuer.',
      'subject_token_invalid',
    ],
    [
      'of another IdP',
      () => world.idp.idToken({ iss: 'https://evil.test' }),
      'The ID token comes from an unknown issuer.',
      'subject_token_invalid',
    ],
    [
      'of the IdP with a slash more',
      () => world.idp.idToken({ iss: `${world.idp.issuer}/` }),
      'The ID token comes from an unknown issuer.',
      'subject_token_invalid',
    ],
    [
      'without audience',
      () => world.idp.idToken({ aud: undefined }),
      'The ID token does not verify or has expired.',
      'subject_token_invalid',
    ],
    [
      'that has expired',
      () => world.idp.idToken({ iat: now() - 100, exp: now() - 40 }),
      'The ID token does not verify or has expired.',
      'subject_token_invalid',
    ],
    [
      'of the future',
      () => world.idp.idToken({ iat: now() + 60, exp: now() + 120 }),
      'The ID token does not verify or has expired.',
      'subject_token_invalid',
    ],
    [
      'without iat',
      () => world.idp.idToken({ iat: undefined }),
      'The ID token does not verify or has expired.',
      'subject_token_invalid',
    ],
    [
      'that is 11 minutes old',
      () => world.idp.idToken({ iat: now() - 660, exp: now() + 600 }),
      'The ID token is older than 10 minutes.',
      'subject_token_invalid',
    ],
    [
      'with a key that is not published',
      () => world.idp.idToken({}, { kid: 'x' }),
      'The ID token does not verify or has expired.',
      'subject_token_invalid',
    ],
    [
      'that is an access token',
      () => world.idp.idToken({}, { typ: 'at+jwt' }),
      'The subject token is not an ID token.',
      'subject_token_invalid',
    ],
    [
      'that was tampered with',
      async () => tampered(await world.idp.idToken()),
      'The ID token does not verify or has expired.',
      'subject_token_invalid',
    ],
    [
      'without signature',
      async () => unsigned(await world.idp.idToken()),
      'The ID token does not verify or has expired.',
      'subject_token_invalid',
    ],
    [
      'for another client',
      () => world.idp.idToken({ aud: 'other-app' }),
      'The ID token was issued to a client that may not launch this agent.',
      'launcher_not_allowed',
    ],
    [
      'for several audiences, without azp',
      () => world.idp.idToken({ aud: ['procurement-app', 'other-app'] }),
      'The ID token was issued to a client that may not launch this agent.',
      'launcher_not_allowed',
    ],
    [
      'for the launcher among others, by another client',
      () => world.idp.idToken({ aud: ['procurement-app', 'other-app'], azp: 'other-app' }),
      'The ID token was issued to a client that may not launch this agent.',
      'launcher_not_allowed',
    ],
    [
      'of somebody whom the registry does not know',
      () => world.idp.idToken({ sub: 'mallory' }),
      'The ID token names no active user.',
      'user_unknown',
    ],
  ];
  const now = () => world.clock.nowSeconds();

  // Red when `verifyIdToken`, `checkLauncher` or the look-up of (iss, sub) lets its row pass.
  it.each(cases)('%s is refused', async (_, make, description, reason) => {
    await expectNothingChanged(world, async () => {
      const { status, body } = await world.ask({ subject_token: await make() });
      const [kept] = await world.records(1);
      expect({ status, error: body.error, description: body.error_description }).toEqual({
        status: 400,
        error: 'invalid_request',
        description,
      });
      // Which of the two it was stands in the record alone.
      expect(body.reason).toBe(reason === 'user_unknown' ? 'user_inactive' : reason);
      expect(kept?.record).toMatchObject({ reason, actor: 'procurement-agent' });
    });
  });

  it('of a disabled user is refused in the words for an unknown one', async () => {
    const users = world.services.tenants.get('acme')?.users;
    const key = `${world.idp.issuer} alice-at-idp`;
    users?.set(key, { id: 'alice', status: 'inactive' });
    await expectNothingChanged(world, async () => {
      const { body } = await world.ask();
      const [kept] = await world.records(1);
      expect(body.error_description).toBe('The ID token names no active user.');
      expect(kept?.record.reason).toBe('user_inactive');
      expect(kept?.disclosures['/principal']?.value).toBe('alice');
    });
    users?.set(key, { id: 'alice', status: 'active' });
  });

  it('is taken when azp names the launcher', async () => {
    const subject = await world.idp.idToken({ aud: ['a', 'b'], azp: 'procurement-app' });
    expect((await world.ask({ subject_token: subject })).status).toBe(200);
    await world.records(1);
  });

  it('of one tenant is nothing at another', async () => {
    const globex = world.services.tenants.get('globex');
    if (globex) globex.body = { ...globex.body, idps: [{ issuer: 'https://idp.globex.test' }] };
    const form = await world.form({
      client_assertion: world.assertion({ aud: ISSUER.replace('acme', 'globex') }),
    });
    const proof = world.proof({ url: `${ISSUER.replace('acme', 'globex')}/token` });
    const { status, body } = await world.post(form, { tenant: 'globex', proof });
    const [kept] = await world.records(1);
    expect({ status, description: body.error_description }).toEqual({
      status: 400,
      description: 'The ID token comes from an unknown issuer.',
    });
    expect(kept?.record.tenant).toBe('globex');
  });
});

describe('a DPoP proof', () => {
  const cases: [string, () => string, string][] = [
    ['that is none', () => 'x', 'proof_invalid'],
    ['beside another one', () => `${world.proof()}, ${world.proof()}`, 'proof_invalid'],
    ['for another method', () => world.proof({ method: 'GET' }), 'proof_binding'],
    ['for another address', () => world.proof({ url: `${ISSUER}/other` }), 'proof_binding'],
    [
      'for another tenant',
      () => world.proof({ url: `${ISSUER.replace('acme', 'globex')}/token` }),
      'proof_binding',
    ],
    [
      'that is old',
      () => world.proof({ nowSeconds: world.clock.nowSeconds() - 31 }),
      'proof_expired',
    ],
    [
      'of the future',
      () => world.proof({ nowSeconds: world.clock.nowSeconds() + 31 }),
      'proof_expired',
    ],
    ['that was tampered with', () => tampered(world.proof()), 'proof_invalid'],
  ];
  it.each(cases)('%s is refused', async (_, make, reason) => {
    await expectNothingChanged(world, async () => {
      const { status, body } = await world.ask({}, { proof: make() });
      const [kept] = await world.records(1);
      expect({ status, error: body.error, reason: body.reason }).toEqual({
        status: 400,
        error: 'invalid_dpop_proof',
        reason,
      });
      expect(kept?.record.reason).toBe(reason);
    });
  });

  // Red when `rememberProof` always says true.
  it('is taken once', async () => {
    const proof = world.proof();
    expect((await world.ask({}, { proof })).status).toBe(200);
    await world.records(1);
    world.services.asked.length = 0;
    await expectNothingChanged(world, async () => {
      const { body } = await world.ask({}, { proof });
      await world.records(1);
      expect(body).toMatchObject({ error: 'invalid_dpop_proof', reason: 'proof_replayed' });
    });
  });

  it('of a revoked key is refused, as is the assertion of one', async () => {
    for (const [key, error, status] of [
      [world.proofKey.kid, 'invalid_dpop_proof', 400],
      [world.clientKey.kid, 'invalid_client', 401],
      [world.infra.keys.tokenPublicKeys('acme')[0]?.kid ?? '', 'server_error', 500],
    ] as const) {
      world.services.revokedKeys.add(key);
      await expectNothingChanged(world, async () => {
        const answer = await world.ask();
        const [kept] = await world.records(1);
        expect({ status: answer.status, error: answer.body.error }).toEqual({ status, error });
        expect(kept?.record.reason).toBe('key_revoked');
      });
      world.services.revokedKeys.delete(key);
    }
  });
});

describe('a stranger', () => {
  const sign = (claims: Record<string, unknown>) =>
    stranger.sign(
      { typ: 'client-authentication+jwt' },
      { iss: 'procurement-agent', sub: 'procurement-agent', aud: ISSUER, jti: 'j', ...claims },
    );
  it('is counted, not listed, and told nothing about who is registered', async () => {
    const times = { iat: world.clock.nowSeconds(), exp: world.clock.nowSeconds() + 60 };
    const forms = [
      { client_assertion: sign(times) },
      { client_assertion: sign({ ...times, iss: 'nobody', sub: 'nobody' }) },
    ];
    const answers = await Promise.all(forms.map((form) => world.ask(form)));
    for (const { status, body } of answers) {
      expect(status).toBe(401);
      expect(body).toEqual({
        error: 'invalid_client',
        error_description: 'client_assertion does not verify.',
      });
    }
    const [kept] = await world.records(1);
    expect(kept?.record).toMatchObject({
      event: 'token.refused',
      decision: 'deny',
      reason: 'client_unauthenticated',
      count: 2,
    });
    expect(kept?.record).not.toHaveProperty('actor');
    expect(
      await world.rows('assertions').then((rows) => rows.map((row) => row.client)),
    ).not.toContain('nobody');
  });
});

function tampered(jws: string): string {
  const [header = '', payload = '', signature = ''] = jws.split('.');
  const flipped = signature.startsWith('A') ? 'B' : 'A';
  return `${header}.${payload}.${flipped}${signature.slice(1)}`;
}

function unsigned(jws: string): string {
  const [, payload = ''] = jws.split('.');
  const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  return `${header}.${payload}.`;
}
