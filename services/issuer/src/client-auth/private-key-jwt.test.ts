import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { importSigner, type Signer } from '@remit/capability';
import type { AgentBody, PublicJwk } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { agent } from '../test/registry-bodies.ts';
import { presentedAssertion, verifyAssertion } from './private-key-jwt.ts';

const ISSUER = 'https://issuer.test/t/acme';
const NOW = 1_800_000_000;
const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const GOOD = {
  iss: 'a-1',
  sub: 'a-1',
  aud: ISSUER,
  jti: 'jti-1',
  iat: NOW,
  exp: NOW + 60,
};

const ed25519Key = generateKeyPairSync('ed25519').privateKey;
const ed25519 = signerOf(ed25519Key);
const p256 = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const other = signerOf(generateKeyPairSync('ed25519').privateKey);
const registered: AgentBody = {
  ...agent('a-1', ed25519),
  keys: [publicJwk(ed25519), publicJwk(p256)],
};

function signerOf(key: KeyObject): Signer {
  return importSigner({ ...key.export({ format: 'jwk' }) });
}

function publicJwk(signer: Signer): PublicJwk {
  return { ...signer.publicJwk, kid: signer.kid, alg: signer.alg } as PublicJwk;
}

function assertion(claims: object = {}, header: object = {}, signer = ed25519): string {
  return signer.sign({ typ: 'client-authentication+jwt', ...header }, { ...GOOD, ...claims });
}

/** Any header over good claims, with the signature that the registered key would make. */
function withHeader(header: object): string {
  const [, payload, signature] = assertion().split('.');
  return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.${signature}`;
}

const verify = (jwt: string, body = registered) => {
  const presented = presentedAssertion(
    {
      client_assertion: jwt,
      client_assertion_type: JWT_BEARER,
    },
    128,
  );
  return verifyAssertion(presented, { signer: body, issuer: ISSUER, nowSeconds: NOW });
};

describe('a client assertion', () => {
  it.each([
    ['Ed25519', ed25519, 'client-authentication+jwt'],
    ['ES256', p256, 'JWT'],
    ['Ed25519', ed25519, 'application/Client-Authentication+JWT'],
  ])('of a registered key is taken (%s)', async (_, signer, typ) => {
    expect(await verify(assertion({}, { typ }, signer))).toEqual({
      clientId: 'a-1',
      thumbprint: signer.kid,
      jtiHash: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      expSeconds: NOW + 60,
    });
  });

  it.each([
    ['at the last second of its life', { exp: NOW + 1 }],
    ['that lives five minutes', { exp: NOW + 300 }],
    ['whose clock leads by 30 seconds', { iat: NOW + 30, nbf: NOW + 30 }],
    ['with a claim that is not known', { purpose: 'x' }],
  ])('%s is taken', async (_, claims) => {
    await expect(verify(assertion(claims))).resolves.toMatchObject({ clientId: 'a-1' });
  });

  // Red when the check that the row is about is taken out.
  it.each([
    ['of an unregistered key', () => assertion({}, {}, other), 'client_assertion does not verify.'],
    [
      'of a key of another kind',
      () => withHeader({ alg: 'ML-DSA-65', typ: 'JWT' }),
      'client_assertion has an algorithm that is not accepted.',
    ],
    [
      'that names another key',
      () => withHeader({ alg: 'Ed25519', kid: 'x', typ: 'JWT' }),
      'client_assertion does not verify.',
    ],
    [
      'whose kid is a path',
      () => withHeader({ alg: 'Ed25519', kid: '../../x', typ: 'JWT' }),
      'client_assertion does not verify.',
    ],
    [
      'that names the key of another algorithm',
      () => withHeader({ alg: 'Ed25519', kid: p256.kid, typ: 'JWT' }),
      'client_assertion does not verify.',
    ],
    [
      'without signature',
      () => `${withHeader({ alg: 'none', typ: 'JWT' }).split('.').slice(0, 2).join('.')}.`,
      'client_assertion has an algorithm that is not accepted.',
    ],
    [
      'in the other name of Ed25519',
      () => withHeader({ alg: 'EdDSA', kid: ed25519.kid, typ: 'JWT' }),
      'client_assertion has an algorithm that is not accepted.',
    ],
    [
      'with a shared secret',
      () => withHeader({ alg: 'HS256', kid: ed25519.kid, typ: 'JWT' }),
      'client_assertion has an algorithm that is not accepted.',
    ],
    [
      'with an algorithm that reaches a prototype',
      () => withHeader({ alg: 'toString', typ: 'JWT' }),
      'client_assertion has an algorithm that is not accepted.',
    ],
    ['without typ', () => assertion({}, { typ: undefined }), 'client_assertion has another type.'],
    [
      'that is an access token',
      () => assertion({}, { typ: 'at+jwt' }),
      'client_assertion has another type.',
    ],
    [
      'that is a proof',
      () => assertion({}, { typ: 'dpop+jwt' }),
      'client_assertion has another type.',
    ],
    [
      'that brings its own key',
      () => withHeader({ alg: 'Ed25519', typ: 'JWT', jwk: other.publicJwk }),
      'client_assertion has a header member that is not allowed.',
    ],
    [
      'that says where its key is',
      () => assertion({}, { jku: 'https://evil.test' }),
      'client_assertion has a header member that is not allowed.',
    ],
    [
      'with a critical header',
      () => assertion({}, { crit: ['b64'], b64: false }),
      'client_assertion has a header member that is not allowed.',
    ],
    [
      'from another client',
      () => assertion({ iss: 'a-2' }),
      'client_assertion is not from this client.',
    ],
    [
      'about another client',
      () => assertion({ sub: 'a-2' }),
      'client_assertion is not from this client.',
    ],
    [
      'for the token endpoint',
      () => assertion({ aud: `${ISSUER}/token` }),
      'client_assertion has another audience.',
    ],
    [
      'for a list with the issuer in it',
      () => assertion({ aud: [ISSUER] }),
      'client_assertion has another audience.',
    ],
    [
      'for the issuer with a slash',
      () => assertion({ aud: `${ISSUER}/` }),
      'client_assertion has another audience.',
    ],
    ['for nobody', () => assertion({ aud: undefined }), 'client_assertion has another audience.'],
    ['that has expired', () => assertion({ exp: NOW }), 'client_assertion has expired.'],
    ['without exp', () => assertion({ exp: undefined }), 'client_assertion has expired.'],
    ['whose exp is text', () => assertion({ exp: `${NOW + 60}` }), 'client_assertion has expired.'],
    [
      'whose exp is in milliseconds',
      () => assertion({ exp: NOW * 1000 }),
      'client_assertion lives too long.',
    ],
    [
      'that lives longer than five minutes',
      () => assertion({ exp: NOW + 301 }),
      'client_assertion lives too long.',
    ],
    ['without iat', () => assertion({ iat: undefined }), 'client_assertion was not issued yet.'],
    ['of the future', () => assertion({ iat: NOW + 31 }), 'client_assertion was not issued yet.'],
    [
      'that is not valid yet',
      () => assertion({ nbf: NOW + 31 }),
      'client_assertion is not valid yet.',
    ],
    ['without jti', () => assertion({ jti: undefined }), 'client_assertion has no jti.'],
    ['with an empty jti', () => assertion({ jti: '' }), 'client_assertion has no jti.'],
    [
      'with an endless jti',
      () => assertion({ jti: 'x'.repeat(257) }),
      'client_assertion has no jti.',
    ],
    [
      'that is too long',
      () => assertion({ x: 'x'.repeat(5_000) }),
      'client_assertion is too long.',
    ],
    ['that is no JWT', () => 'x', 'client_assertion is not a JWT.'],
    ['of four parts', () => `${assertion()}.x`, 'client_assertion is not a JWT.'],
    ['in JSON form', () => JSON.stringify({ payload: 'x' }), 'client_assertion is not a JWT.'],
    [
      'with a claim twice',
      () => `e30.${Buffer.from('{"sub":"a-1","sub":"a-2"}').toString('base64url')}.x`,
      'client_assertion has no well-formed claims.',
    ],
    ['without claims', () => 'e30.W10.x', 'client_assertion has no well-formed claims.'],
    ['without subject', () => 'e30.e30.x', 'client_assertion has no subject.'],
  ])('%s is refused', async (_, make, message) => {
    await expect((async () => verify(make()))()).rejects.toMatchObject({
      name: 'IssuerError',
      code: 'CLIENT_UNAUTHENTICATED',
      message,
      context: { reason: 'client_unauthenticated' },
    });
  });

  it('without kid is taken only when one registered key fits', async () => {
    const jwt = signWithoutKid();
    await expect(verify(jwt)).resolves.toMatchObject({ thumbprint: ed25519.kid });
    const twice = { ...registered, keys: [publicJwk(ed25519), publicJwk(other)] };
    await expect(verify(jwt, twice)).rejects.toMatchObject({
      message: 'client_assertion does not verify.',
    });
  });

  it('must be from the client that the form names, and of the one type', () => {
    const form = { client_assertion: assertion(), client_assertion_type: JWT_BEARER };
    expect(presentedAssertion({ ...form, client_id: 'a-1' }, 128).clientId).toBe('a-1');
    for (const wrong of [
      { ...form, client_id: 'a-2' },
      { ...form, client_assertion_type: 'x' },
      { client_assertion: form.client_assertion },
    ]) {
      expect(() => presentedAssertion(wrong, 128)).toThrow(
        expect.objectContaining({ code: 'CLIENT_UNAUTHENTICATED' }),
      );
    }
  });
});

/** A signer of the capability package always writes a kid, so this header is signed by hand. */
function signWithoutKid(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part({ alg: 'Ed25519', typ: 'JWT' })}.${part(GOOD)}`;
  return `${input}.${sign(null, Buffer.from(input), ed25519Key).toString('base64url')}`;
}
