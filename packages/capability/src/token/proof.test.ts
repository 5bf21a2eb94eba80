import { createHash } from 'node:crypto';
import { calculateThumbprint, generateKeyPair, generateProof } from 'dpop';
import { compactVerify, EmbeddedJWK, exportJWK, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  accessTokenHash,
  createProof,
  type ProofOptions,
  type Signer,
  type VerifyKey,
  verifyProof,
} from './index.ts';
import { NOW, newSigner, privateJwk, refused } from './test-support/fixtures.ts';

const TOKEN = 'header.payload.signature';
const URL_CALLED = 'https://erp.test/orders';
const JTI = 'jti-0123456789abcdef';

let signer: Signer;

beforeAll(() => {
  signer = newSigner('Ed25519');
});

const made = () => ({
  signer,
  method: 'POST',
  url: URL_CALLED,
  accessToken: TOKEN,
  nowSeconds: NOW,
  jti: JTI,
});
const base = (changed: Partial<ProofOptions> = {}): ProofOptions => ({
  proof: createProof(made()),
  method: 'POST',
  url: URL_CALLED,
  accessToken: TOKEN,
  nowSeconds: NOW,
  windowSeconds: 10,
  algorithms: ['ES256', 'Ed25519'],
  ...changed,
});
const code = (changed: Partial<ProofOptions>) => refused(() => verifyProof(base(changed))).code;
const claims = (changed: object = {}) => ({
  jti: JTI,
  htm: 'POST',
  htu: URL_CALLED,
  iat: NOW,
  ath: accessTokenHash(TOKEN),
  ...changed,
});
const signed = (changed: object, header: object = {}) =>
  signer.sign({ typ: 'dpop+jwt', jwk: signer.publicJwk, ...header }, claims(changed));

describe('a proof', () => {
  it('is the one of RFC 9449 section 4.1', () => {
    const proof = [
      'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpD',
      'a0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6',
      'IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUu',
      'Y29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-',
      'FNyJK70nfbV37xRZT3Lg',
    ].join('');
    const url = 'https://server.example.com/token';
    expect(
      verifyProof(base({ proof, url, accessToken: undefined, nowSeconds: 1_562_262_616 })),
    ).toEqual({
      jkt: '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I',
      jti: '-BwC3ESc6acc2lTc',
      iat: 1_562_262_616,
    });
  });

  it('carries the ath of RFC 9449 section 7.1', () => {
    expect(accessTokenHash('Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU')).toBe(
      'fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo',
    );
  });

  it.each(['ES256', 'Ed25519'] as const)(
    'of the dpop library with %s is read here',
    async (alg) => {
      const pair = await generateKeyPair(alg);
      const now = Math.floor(Date.now() / 1000);
      const proof = await generateProof(pair, URL_CALLED, 'POST', 'nonce-1', TOKEN);
      const options = base({ proof, nowSeconds: now, nonce: 'nonce-1' });
      expect(verifyProof(options).jkt).toBe(await calculateThumbprint(pair.publicKey));
    },
  );

  it.each(['ES256', 'Ed25519'] as const)('made here with %s is read by jose', async (alg) => {
    const one = newSigner(alg);
    const proof = createProof({
      signer: one,
      method: 'GET',
      url: 'https://erp.test/a?b#c',
      accessToken: TOKEN,
      nonce: 'n',
      nowSeconds: NOW + 0.7,
      jti: JTI,
    });
    const read = await compactVerify(proof, EmbeddedJWK, { algorithms: [alg] });
    expect(read.protectedHeader).toEqual({ alg, typ: 'dpop+jwt', jwk: { ...one.publicJwk } });
    expect(JSON.parse(new TextDecoder().decode(read.payload))).toEqual({
      jti: JTI,
      htm: 'GET',
      htu: 'https://erp.test/a',
      iat: NOW,
      ath: accessTokenHash(TOKEN),
      nonce: 'n',
    });
  });

  it('of jose is read here', async () => {
    const pair = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(pair.publicKey);
    const proof = await new SignJWT(claims())
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
      .sign(pair.privateKey);
    expect(verifyProof(base({ proof })).jti).toBe(JTI);
  });

  it.each([
    ['https://erp.test/orders?x=1#y', true],
    ['HTTPS://ERP.test:443/orders', true],
    ['https://erp.test/a/../orders', true],
    ['https://erp.test/%6Frders', true],
    ['http://erp.test/orders', false],
    ['https://erp.test:8443/orders', false],
    ['https://erp.test/orders/', false],
    ['https://erp.test/Orders', false],
    ['https://erp.test/orders%2f', false],
    ['https://erp.test.evil.test/orders', false],
    ['https://user@erp.test/orders', false],
    ['https://erp.test\\orders', false],
    ['https://erp.test/ord\ters', false],
    [' https://erp.test/orders', false],
    ['/orders', false],
    ['erp.test/orders', false],
    ['', false],
  ])('with the htu %j is for this URL: %s', (htu, fits) => {
    expect(code({ proof: signed({ htu }) })).toBe(fits ? 'NOT_REFUSED' : 'DPOP_BINDING_MISMATCH');
  });

  it('compares percent-escapes without case, and keeps reserved ones', () => {
    const proof = (htu: string) => signed({ htu });
    const url = 'https://erp.test/a%2fb%7E';
    expect(code({ url, proof: proof('https://erp.test/a%2Fb~') })).toBe('NOT_REFUSED');
    expect(code({ url, proof: proof('https://erp.test/a/b~') })).toBe('DPOP_BINDING_MISMATCH');
    expect(code({ url: 'https://erp.test', proof: proof('https://erp.test/') })).toBe(
      'NOT_REFUSED',
    );
    // Two texts that are no URLs are not the same URL.
    expect(code({ url: '/orders', proof: proof('/orders') })).toBe('DPOP_BINDING_MISMATCH');
  });

  // Each row goes red when its check is taken out of `readHeader`, `checkClaims` or `verifyProof`.
  it.each([
    ['another method', { htm: 'GET' }, 'DPOP_BINDING_MISMATCH'],
    ['a method in another case', { htm: 'post' }, 'DPOP_BINDING_MISMATCH'],
    ['no method', { htm: undefined }, 'DPOP_INVALID'],
    ['no URL', { htu: undefined }, 'DPOP_INVALID'],
    ['the hash of another token', { ath: accessTokenHash('other') }, 'DPOP_BINDING_MISMATCH'],
    ['no hash', { ath: undefined }, 'DPOP_BINDING_MISMATCH'],
    ['a hash that is no text', { ath: 7 }, 'DPOP_BINDING_MISMATCH'],
    ['an old time', { iat: NOW - 11 }, 'DPOP_EXPIRED'],
    ['a future time', { iat: NOW + 11 }, 'DPOP_EXPIRED'],
    ['milliseconds', { iat: NOW * 1000 }, 'DPOP_EXPIRED'],
    ['a time as text', { iat: String(NOW) }, 'DPOP_INVALID'],
    ['a fraction', { iat: NOW + 0.5 }, 'DPOP_INVALID'],
    ['no time', { iat: undefined }, 'DPOP_INVALID'],
    ['a jti of 90 bits', { jti: 'a'.repeat(15) }, 'DPOP_INVALID'],
    ['a huge jti', { jti: 'a'.repeat(257) }, 'DPOP_INVALID'],
    ['no jti', { jti: undefined }, 'DPOP_INVALID'],
  ])('is refused for %s', (_, changed, expected) => {
    expect(code({ proof: signed(changed) })).toBe(expected);
  });

  it('is accepted at the edges of the window', () => {
    expect(code({ proof: signed({ iat: NOW - 10 }) })).toBe('NOT_REFUSED');
    expect(code({ proof: signed({ iat: NOW + 10 }) })).toBe('NOT_REFUSED');
    expect(() => verifyProof(base({ windowSeconds: 0 }))).toThrow(TypeError);
    expect(() => verifyProof(base({ windowSeconds: 301 }))).toThrow(TypeError);
    expect(() => verifyProof(base({ nowSeconds: Number.NaN }))).toThrow(TypeError);
  });

  it('is refused for every header that is not exactly a proof’s', () => {
    const secret = privateJwk('Ed25519');
    const rows: [object, string][] = [
      [{ typ: 'JWT' }, 'not a DPoP proof'],
      [{ typ: 'at+jwt' }, 'not a DPoP proof'],
      [{ typ: undefined }, 'not a DPoP proof'],
      [{ kid: 'a' }, 'parameter'],
      [{ crit: ['b64'] }, 'parameter'],
      [{ jku: 'https://evil.test' }, 'parameter'],
      [{ jwk: { ...signer.publicJwk, d: secret['d'] } }, 'not acceptable'],
      [{ jwk: { kty: 'oct', k: 'AAAA' } }, 'not acceptable'],
      [{ jwk: null }, 'not acceptable'],
      [{ jwk: newSigner('ES256').publicJwk }, 'another algorithm'],
      [{ jwk: newSigner('ML-DSA-44').publicJwk }, 'another algorithm'],
      [{ jwk: newSigner('Ed25519').publicJwk }, 'signature'],
    ];
    for (const [header, message] of rows) {
      const found = refused(() => verifyProof(base({ proof: signed({}, header) })));
      expect(found.code, message).toBe('DPOP_INVALID');
      expect(found.message).toContain(message);
    }
  });

  it('is refused for an algorithm that is not on the list', () => {
    expect(refused(() => verifyProof(base({ algorithms: ['ES256'] }))).message).toContain(
      'not on the list',
    );
    const [, body, signature] = base().proof.split('.');
    for (const alg of ['none', 'HS256', 'EdDSA', 'RS256', 'constructor']) {
      const header = Buffer.from(JSON.stringify({ alg, typ: 'dpop+jwt', jwk: signer.publicJwk }));
      const proof = `${header.toString('base64url')}.${body}.${signature}`;
      expect(refused(() => verifyProof(base({ proof }))).message, alg).toContain('not on the list');
    }
  });

  it('is refused when it is malformed, too large or changed', () => {
    const { proof } = base();
    for (const bad of ['', 'a.b', `${proof}.`, `${proof}, ${proof}`, 'x'.repeat(5000)]) {
      expect(code({ proof: bad })).toBe('DPOP_INVALID');
    }
    const [head, , signature] = proof.split('.');
    const body = Buffer.from(JSON.stringify(claims({ jti: 'another-jti-of-16' }))).toString(
      'base64url',
    );
    expect(code({ proof: `${head}.${body}.${signature}` })).toBe('DPOP_INVALID');
  });

  it('is refused for a token that is bound to another key, and for another nonce', () => {
    expect(code({ jkt: signer.kid })).toBe('NOT_REFUSED');
    expect(code({ jkt: newSigner('Ed25519').kid })).toBe('DPOP_KEY_MISMATCH');
    expect(code({ nonce: 'n' })).toBe('DPOP_NONCE_MISMATCH');
    expect(code({ nonce: 'n', proof: signed({ nonce: 'm' }) })).toBe('DPOP_NONCE_MISMATCH');
    expect(code({ nonce: 'n', proof: signed({ nonce: 'n' }) })).toBe('NOT_REFUSED');
    expect(code({ nonce: [], proof: signed({ nonce: 'n' }) })).toBe('DPOP_NONCE_MISMATCH');
    const options = base({ nonce: ['m', 'n'], proof: signed({ nonce: 'n' }) });
    expect(verifyProof(options).nonce).toBe('n');
  });

  // Red when checkClaims doesn't look at `bd`: whoever stands between could rewrite the body.
  it('is for the bytes of one body, where a body is given', () => {
    const body = Buffer.from('{"amount":1}');
    const bound = createProof({ ...made(), body });
    expect(code({ proof: bound, body })).toBe('NOT_REFUSED');
    // What nobody asks for is no reason to refuse.
    expect(code({ proof: bound })).toBe('NOT_REFUSED');
    for (const other of ['{"amount":2}', '{"amount":1}\n', '']) {
      expect(code({ proof: bound, body: Buffer.from(other) })).toBe('DPOP_BODY_MISMATCH');
    }
    expect(code({ body })).toBe('DPOP_BODY_MISMATCH');
    expect(code({ body: new Uint8Array() })).toBe('DPOP_BODY_MISMATCH');
    const empty = createHash('sha256').digest('base64url');
    expect(code({ body: new Uint8Array(), proof: signed({ bd: empty }) })).toBe('NOT_REFUSED');
    for (const bd of [null, 1, [empty], empty.toLowerCase(), `${empty}=`]) {
      expect(code({ body: new Uint8Array(), proof: signed({ bd }) })).toBe('DPOP_BODY_MISMATCH');
    }
  });

  it('leaves its key in the cache only when its signature was right', () => {
    const keyCache = new Map<string, VerifyKey>();
    const forged = signed({}, { jwk: newSigner('Ed25519').publicJwk });
    expect(code({ proof: forged, keyCache })).toBe('DPOP_INVALID');
    expect(keyCache.size).toBe(0);
    expect(code({ keyCache })).toBe('NOT_REFUSED');
    expect([...keyCache.keys()]).toEqual([signer.kid]);
    expect(code({ keyCache })).toBe('NOT_REFUSED');
  });

  it('is not made that no verifier would take', () => {
    const options = { signer, method: 'GET', url: URL_CALLED, nowSeconds: NOW, jti: JTI };
    expect(refused(() => createProof({ ...options, url: '/orders' })).code).toBe('DPOP_INVALID');
    expect(refused(() => createProof({ ...options, jti: 'short' })).code).toBe('DPOP_INVALID');
    const slow = newSigner('ML-DSA-44');
    expect(refused(() => createProof({ ...options, signer: slow })).code).toBe('KEY_INVALID');
  });
});
