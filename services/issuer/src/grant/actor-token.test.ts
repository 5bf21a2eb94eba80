import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { importSigner } from '@remit/capability';
import { describe, expect, it } from 'vitest';
import { agent } from '../test/registry-bodies.ts';
import { verifyActorToken } from './actor-token.ts';

const ISSUER = 'https://issuer.test/t/acme';
const NOW = 1_800_000_000;
const JKT = 'k'.repeat(43);
const signerOf = (key: KeyObject) => importSigner({ ...key.export({ format: 'jwk' }) });
const key = signerOf(generateKeyPairSync('ed25519').privateKey);
const p256 = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const other = signerOf(generateKeyPairSync('ed25519').privateKey);
const body = agent('risk-analyst', key);
const tenant = { kind: 'tenant' as const, id: 'acme', idps: [], admin_groups: {} };
const GOOD = {
  iss: 'risk-analyst',
  sub: 'risk-analyst',
  aud: ISSUER,
  jti: 'jti-1',
  iat: NOW,
  exp: NOW + 120,
  cnf: { jkt: JKT },
};

const sign = (claims: object = {}, header: object = {}, signer = key) =>
  signer.sign({ typ: 'remit-actor+jwt', ...header }, { ...GOOD, ...claims });

/** Verifies with a memory of one request; `remembered` is what reached it. */
async function verify(jwt: string, keys = body.keys, remembered: unknown[] = []) {
  const verified = await verifyActorToken(jwt, {
    issuer: ISSUER,
    nowSeconds: NOW,
    lookupAgent: async (id) =>
      id === body.id ? { agent: { ...body, keys }, tenant, active: true } : undefined,
    rememberActorToken: async (used) => {
      remembered.push(used);
      return remembered.length === 1;
    },
  });
  return { verified, remembered };
}

describe('an actor token', () => {
  it('names the agent and the key to bind to, and is remembered', async () => {
    const { verified, remembered } = await verify(sign());
    expect(verified).toMatchObject({ agent: { id: 'risk-analyst' }, jkt: JKT });
    expect(verified.keyThumbprint).toBe(key.kid);
    expect(remembered).toEqual([
      { agent: 'risk-analyst', jtiHash: expect.any(String), expSeconds: NOW + 120 },
    ]);
    const es256 = await verify(sign({}, {}, p256), [{ ...p256.publicJwk } as never]);
    expect(es256.verified.keyThumbprint).toBe(p256.kid);
  });

  // Each row goes red when its check is taken out of `verifyActorToken` or `verifyAgentJwt`.
  it.each<[string, string, string]>([
    ['a client assertion', sign({}, { typ: 'client-authentication+jwt' }), 'has another type'],
    ['a plain JWT', sign({}, { typ: 'JWT' }), 'has another type'],
    ['another key', sign({}, {}, other), 'does not verify'],
    ['an unknown agent', sign({ iss: 'nobody', sub: 'nobody' }), 'does not verify'],
    ['another issuer of the JWT', sign({ iss: 'procurement-agent' }), 'is not from this client'],
    ['the token endpoint as audience', sign({ aud: `${ISSUER}/token` }), 'has another audience'],
    ['a list of audiences', sign({ aud: [ISSUER] }), 'has another audience'],
    ['another tenant', sign({ aud: 'https://issuer.test/t/globex' }), 'has another audience'],
    ['no jti', sign({ jti: undefined }), 'has no jti'],
    ['no iat', sign({ iat: undefined }), 'was not issued yet'],
    ['an iat to come', sign({ iat: NOW + 31 }), 'was not issued yet'],
    ['no exp', sign({ exp: undefined }), 'has expired'],
    ['an end that is now', sign({ exp: NOW }), 'has expired'],
    ['more than 5 minutes ahead', sign({ exp: NOW + 301 }), 'lives too long'],
    ['an age over 5 minutes', sign({ iat: NOW - 301 }), 'is older than 5 minutes'],
    ['a life over 5 minutes', sign({ iat: NOW - 200, exp: NOW + 101 }), 'lives too long'],
    ['an nbf to come', sign({ nbf: NOW + 31 }), 'is not valid yet'],
    ['a claim that is not known', sign({ scope: 'less' }), 'has a claim that is not known'],
    ['no cnf', sign({ cnf: undefined }), 'names no key to bind to'],
    ['a cnf that is no object', sign({ cnf: JKT }), 'names no key to bind to'],
    ['no jkt', sign({ cnf: {} }), 'names no key to bind to'],
    ['a jkt of another length', sign({ cnf: { jkt: 'short' } }), 'names no key to bind to'],
    ['a second member of cnf', sign({ cnf: { jkt: JKT, kid: 'x' } }), 'names no key to bind to'],
    ['a header member', sign({}, { jwk: {} }), 'has a header member that is not allowed'],
    ['no text', 'x', 'is not a JWT'],
  ])('with %s is refused and not remembered', async (_, jwt, what) => {
    const remembered: unknown[] = [];
    await expect(verify(jwt, body.keys, remembered)).rejects.toMatchObject({
      code: 'ACTOR_TOKEN_INVALID',
      message: `actor_token ${what}.`,
      context: { reason: 'actor_token_invalid' },
    });
    expect(remembered).toEqual([]);
  });

  it('is good once', async () => {
    const refused = verifyActorToken(sign(), {
      issuer: ISSUER,
      nowSeconds: NOW,
      lookupAgent: async () => ({ agent: body, tenant, active: true }),
      rememberActorToken: async () => false,
    });
    await expect(refused).rejects.toMatchObject({
      code: 'ACTOR_TOKEN_INVALID',
      message: 'actor_token was used before.',
      context: { reason: 'actor_token_replayed' },
    });
  });
});
