import { createHmac } from 'node:crypto';
import { calculateJwkThumbprint, compactVerify, importJWK, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  capabilityPayload,
  importSigner,
  importVerifyKey,
  jwkThumbprint,
  MAX_TOKEN_LENGTH,
  type Signer,
  type TokenAlgorithm,
  type VerifyKey,
  verifyCapabilitySignature,
} from './index.ts';
import { capability, type Kind, newSigner, privateJwk, refused } from './test-support/fixtures.ts';

const ALL: TokenAlgorithm[] = ['ML-DSA-65', 'ML-DSA-44', 'Ed25519'];
const PAYLOAD = capabilityPayload(capability());

let signer: Signer;
let other: Signer;
let keys: Map<string, VerifyKey>;
let token: string;

beforeAll(() => {
  signer = newSigner('ML-DSA-65');
  other = newSigner('Ed25519');
  keys = new Map([signer, other].map((one) => [one.kid, importVerifyKey(one.publicJwk)]));
  token = signer.sign({ typ: 'at+jwt' }, PAYLOAD);
});

const verify = (text: string, algorithms: TokenAlgorithm[] = ALL) =>
  verifyCapabilitySignature(text, { keys: (kid) => keys.get(kid), algorithms });
const code = (text: string, algorithms?: TokenAlgorithm[]) =>
  refused(() => verify(text, algorithms)).code;
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const parts = () => token.split('.') as [string, string, string];
/** The token with another header, and the signature of before: what is refused before it is checked. */
const withHeader = (header: unknown) => `${encode(header)}.${parts()[1]}.${parts()[2]}`;
const header = (changed: object) => ({
  alg: 'ML-DSA-65',
  typ: 'at+jwt',
  kid: signer.kid,
  ...changed,
});

describe('keys', () => {
  it('have the thumbprint of RFC 7638 and RFC 8037 appendix A.3', () => {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
    expect(jwkThumbprint(jwk)).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  });

  it.each(['ML-DSA-65', 'ML-DSA-44', 'Ed25519', 'ES256'] as Kind[])(
    'of %s have the thumbprint that jose computes',
    async (kind) => {
      const one = newSigner(kind);
      expect(one.kid).toBe(await calculateJwkThumbprint(one.publicJwk));
      expect(importVerifyKey({ ...one.publicJwk, kid: one.kid, use: 'sig' })).toMatchObject({
        kid: one.kid,
        alg: kind,
      });
    },
  );

  it.each([
    ['a private key where a public one belongs', () => importVerifyKey(privateJwk('Ed25519'))],
    ['a seed where a public key belongs', () => importVerifyKey(privateJwk('ML-DSA-65'))],
    [
      'a kid that is not the thumbprint',
      () => importVerifyKey({ ...other.publicJwk, kid: 'mine' }),
    ],
    ['a symmetric key', () => importVerifyKey({ kty: 'oct', k: 'c2VjcmV0' })],
    ['RSA', () => importVerifyKey({ kty: 'RSA', n: 'AQAB', e: 'AQAB' })],
    ['an AKP key without alg', () => importVerifyKey({ kty: 'AKP', pub: signer.publicJwk['pub'] })],
    ['an alg that is not the key’s', () => importVerifyKey({ ...other.publicJwk, alg: 'ES256' })],
    ['garbage', () => importVerifyKey({ kty: 'OKP', crv: 'Ed25519', x: 'AA' })],
    ['a text', () => importVerifyKey('key')],
    ['a public key as signer', () => importSigner(other.publicJwk)],
    [
      'halves of two pairs',
      () => importSigner({ ...privateJwk('Ed25519'), x: other.publicJwk['x'] }),
    ],
  ])('refuse %s', (_, call) => {
    expect(refused(call).code).toBe('KEY_INVALID');
  });
});

describe('a signature', () => {
  it.each(['ML-DSA-65', 'ML-DSA-44', 'Ed25519'] as const)(
    'of %s is read by jose, and jose’s is read here',
    async (alg) => {
      const secret = privateJwk(alg);
      const one = importSigner(secret);
      keys.set(one.kid, importVerifyKey(one.publicJwk));
      const ours = one.sign({ typ: 'at+jwt' }, PAYLOAD);
      const read = await compactVerify(ours, await importJWK({ ...one.publicJwk }, alg), {
        algorithms: [alg],
      });
      expect(JSON.parse(new TextDecoder().decode(read.payload))).toEqual(PAYLOAD);
      expect(read.protectedHeader).toEqual({ alg, kid: one.kid, typ: 'at+jwt' });
      const theirs = await new SignJWT({ ...PAYLOAD })
        .setProtectedHeader({ alg, kid: one.kid, typ: 'application/at+JWT' })
        .sign(await importJWK(secret as never, alg));
      expect(verify(theirs)).toEqual({ header: { alg, kid: one.kid }, payload: PAYLOAD });
    },
  );

  it('stays well below 12 KB with everything in it', () => {
    expect(token.length).toBeGreaterThan(4000);
    expect(token.length).toBeLessThan(MAX_TOKEN_LENGTH);
  });

  // Each row of these tables goes red when its check is taken out of `verifyCapabilitySignature`,
  // `readCompact` or `decodePart`.
  it.each([
    ['alg none', { alg: 'none' }, 'ALG_NOT_ALLOWED'],
    ['alg noNE', { alg: 'noNE' }, 'ALG_NOT_ALLOWED'],
    ['HS256', { alg: 'HS256' }, 'ALG_NOT_ALLOWED'],
    ['another case', { alg: 'ml-dsa-65' }, 'ALG_NOT_ALLOWED'],
    ['a property of every object', { alg: 'constructor' }, 'ALG_NOT_ALLOWED'],
    ['an algorithm of proofs', { alg: 'ES256' }, 'ALG_NOT_ALLOWED'],
    ['no alg', { alg: undefined }, 'ALG_NOT_ALLOWED'],
    ['a list of algs', { alg: ['ML-DSA-65'] }, 'ALG_NOT_ALLOWED'],
    ['jwk', { jwk: { kty: 'OKP' } }, 'HEADER_NOT_ALLOWED'],
    ['jku', { jku: 'https://evil.test/jwks' }, 'HEADER_NOT_ALLOWED'],
    ['x5u', { x5u: 'https://evil.test/' }, 'HEADER_NOT_ALLOWED'],
    ['x5c', { x5c: ['AA'] }, 'HEADER_NOT_ALLOWED'],
    ['crit', { crit: ['b64'], b64: false }, 'HEADER_NOT_ALLOWED'],
    ['b64', { b64: true }, 'HEADER_NOT_ALLOWED'],
    ['zip', { zip: 'DEF' }, 'HEADER_NOT_ALLOWED'],
    ['an unknown parameter', { cty: 'JWT' }, 'HEADER_NOT_ALLOWED'],
    ['typ JWT', { typ: 'JWT' }, 'TYP_MISMATCH'],
    ['no typ', { typ: undefined }, 'TYP_MISMATCH'],
    ['a DPoP proof', { typ: 'dpop+jwt' }, 'TYP_MISMATCH'],
    ['a status list', { typ: 'statuslist+jwt' }, 'TYP_MISMATCH'],
    ['a link', { typ: 'remit-link+jwt' }, 'TYP_MISMATCH'],
    ['no kid', { kid: undefined }, 'KID_UNKNOWN'],
    ['a kid that is a path', { kid: '../../x' }, 'KID_UNKNOWN'],
    ['a kid that is SQL', { kid: "' OR 1=1--" }, 'KID_UNKNOWN'],
    ['a kid that is __proto__', { kid: '__proto__' }, 'KID_UNKNOWN'],
    ['a kid with NUL', { kid: 'a\u0000' }, 'KID_UNKNOWN'],
    ['a kid that is a number', { kid: 7 }, 'KID_UNKNOWN'],
    ['a long kid', { kid: 'x'.repeat(4000) }, 'KID_UNKNOWN'],
  ])('is refused for %s', (_, changed, expected) => {
    expect(code(withHeader(header(changed)))).toBe(expected);
  });

  it('is refused before any key is looked up when its algorithm is not on the list', () => {
    const looked: string[] = [];
    const call = () =>
      verifyCapabilitySignature(token, {
        keys: (kid) => {
          looked.push(kid);
          return keys.get(kid);
        },
        algorithms: ['Ed25519'],
      });
    expect(refused(call).code).toBe('ALG_NOT_ALLOWED');
    expect(looked).toEqual([]);
  });

  it('is refused when the key is for another algorithm, both ways', () => {
    expect(code(withHeader(header({ kid: other.kid })))).toBe('KEY_ALG_MISMATCH');
    expect(code(withHeader(header({ alg: 'Ed25519' })))).toBe('KEY_ALG_MISMATCH');
    expect(code(withHeader(header({ alg: 'ML-DSA-44' })))).toBe('KEY_ALG_MISMATCH');
  });

  it('is refused when a public key was used as a secret', () => {
    const input = `${encode(header({ alg: 'HS256' }))}.${parts()[1]}`;
    for (const secret of [signer.publicJwk['pub'] as string, JSON.stringify(signer.publicJwk)]) {
      const mac = createHmac('sha256', secret).update(input).digest('base64url');
      expect(code(`${input}.${mac}`)).toBe('ALG_NOT_ALLOWED');
    }
  });

  it('is refused when any part was changed', () => {
    const [head, body, signature] = parts();
    const changed = encode({ ...PAYLOAD, sub: 'mallory' });
    expect(code(`${head}.${changed}.${signature}`)).toBe('SIGNATURE_INVALID');
    const flipped = Buffer.from(signature, 'base64url');
    flipped[100] = (flipped[100] as number) ^ 1;
    expect(code(`${head}.${body}.${flipped.toString('base64url')}`)).toBe('SIGNATURE_INVALID');
    for (const bytes of [flipped.subarray(0, 3308), Buffer.concat([flipped, Buffer.of(0)])]) {
      expect(code(`${head}.${body}.${bytes.toString('base64url')}`)).toBe('SIGNATURE_INVALID');
    }
    expect(code(`${head}.${body}.`)).toBe('SIGNATURE_INVALID');
    const forged = newSigner('ML-DSA-65').sign({ typ: 'at+jwt' }, PAYLOAD).split('.')[2];
    expect(code(`${head}.${body}.${forged}`)).toBe('SIGNATURE_INVALID');
  });

  it('is refused in any other form than three parts of strict base64url', () => {
    const [head, body, signature] = parts();
    const bad = [
      '',
      '.',
      '..',
      'a',
      `${head}.${body}`,
      `${token}.`,
      `${token}.x`,
      ` ${token}`,
      `${token}\n`,
      `${token}~`,
      `${head}=.${body}.${signature}`,
      `${head}.${body}.${signature}=`,
      `.${body}.${signature}`,
      `${head}.${body}.+${signature.slice(1)}`,
      `${head}.${body}.é${signature.slice(1)}`,
      JSON.stringify({ protected: head, payload: body, signature }),
    ];
    for (const text of bad) expect(code(text), text.slice(0, 40)).toBe('TOKEN_MALFORMED');
    // 64 bytes leave four bits of the last character unused: they must be zero.
    const short = other.sign({ typ: 'at+jwt' }, PAYLOAD);
    expect(code(short)).toBe('NOT_REFUSED');
    const stray = { A: 'B', Q: 'R', g: 'h', w: 'x' }[short.at(-1) as string];
    expect(code(`${short.slice(0, -1)}${stray}`)).toBe('TOKEN_MALFORMED');
    for (const value of [undefined, null, 7, {}])
      expect(code(value as never)).toBe('TOKEN_MALFORMED');
    expect(code(`${'a'.repeat(MAX_TOKEN_LENGTH)}.b.c`)).toBe('TOKEN_TOO_LARGE');
  });

  it('is refused when a header or a payload has two readings', () => {
    const text = JSON.stringify(header({}));
    const heads = [
      text.replace('{', '{"alg":"none",'),
      `\ufeff${text}`,
      `${text} x`,
      '[]',
      '"x"',
      'null',
      '{',
      '{"a":{"b":{"c":{}}}}',
    ];
    for (const head of heads) expect(code(withHeader(head)), head).toBe('TOKEN_MALFORMED');
    const utf16 = Buffer.from(text, 'utf16le').toString('base64url');
    expect(code(`${utf16}.${parts()[1]}.${parts()[2]}`)).toBe('TOKEN_MALFORMED');
    const bodies = [
      '{"sub":"a","sub":"b"}',
      '[]',
      '7',
      '{"__proto__":{}}',
      `{"a":${'['.repeat(40)}${']'.repeat(40)}}`,
    ];
    for (const body of bodies) {
      expect(code(signer.sign({ typ: 'at+jwt' }, body)), body).toBe('TOKEN_MALFORMED');
    }
  });

  it('is refused with an empty list of algorithms', () => {
    expect(code(token, [])).toBe('ALG_NOT_ALLOWED');
  });
});
