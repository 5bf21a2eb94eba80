import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { ml_dsa44, ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { describe, expect, it } from 'vitest';
import { ALGORITHMS } from './algorithms.ts';
import { type Algorithm, importSigner, importVerifyKey, jwkThumbprint } from './index.ts';
import { refused } from './test-support/fixtures.ts';

// Published examples first, then what verifiers are known to get wrong, built by a second
// implementation. The official collections (Wycheproof, ACVP) are not part of this repository.

const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
const encode = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');
const decode = (text: string) => new Uint8Array(Buffer.from(text, 'base64url'));
const ascii = (text: string) => new Uint8Array(Buffer.from(text, 'ascii'));
const MESSAGE = ascii('header.payload');

function verifies(jwk: object, message: Uint8Array, signature: Uint8Array): boolean {
  const { alg, key } = importVerifyKey(jwk);
  return ALGORITHMS.get(alg)?.verify(message, key, signature) ?? false;
}

const okp = (x: Uint8Array) => ({ kty: 'OKP', crv: 'Ed25519', x: encode(x) });
const akp = (alg: string, pub: Uint8Array) => ({ kty: 'AKP', alg, pub: encode(pub) });

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}
const bytesOf = (value: bigint) => hex(value.toString(16).padStart(64, '0'));

describe('published examples', () => {
  it.each([
    [
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      '',
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    ],
    [
      '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
      '72',
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    ],
    [
      'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
      'af82',
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
    ],
  ])('of RFC 8032 section 7.1 verify: %s', (key, message, signature) => {
    expect(verifies(okp(hex(key)), hex(message), hex(signature))).toBe(true);
    expect(verifies(okp(hex(key)), hex(`${message}00`), hex(signature))).toBe(false);
  });

  it('of RFC 8037 appendix A.4 verify', () => {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
    const input = ascii('eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc');
    const signature =
      'hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg';
    expect(verifies(jwk, input, decode(signature))).toBe(true);
  });

  it('of RFC 7515 appendix A.3 verify', () => {
    const jwk = {
      kty: 'EC',
      crv: 'P-256',
      x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
      y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
    };
    const input = ascii(
      'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ',
    );
    const signature =
      'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q';
    expect(verifies(jwk, input, decode(signature))).toBe(true);
  });

  it('of RFC 9964: the key of the seed of zeros, its thumbprint and its signature', () => {
    const { publicKey, secretKey } = ml_dsa44.keygen(new Uint8Array(32));
    const jwk = akp('ML-DSA-44', publicKey);
    const kid = 'T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o';
    expect(jwkThumbprint(jwk)).toBe(kid);
    expect(importSigner({ ...jwk, priv: 'A'.repeat(43) }).kid).toBe(kid);
    const input = ascii(
      'eyJhbGciOiJNTC1EU0EtNDQiLCJraWQiOiJUNHhsNzBTN01UNlplcTZyOVY5ZlBKR1ZuNzZ3Zm5YSjIxLWd5bzBHdTZvIn0.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4',
    );
    const signature = ml_dsa44.sign(input, secretKey, { extraEntropy: false });
    expect(verifies(jwk, input, signature)).toBe(true);
    expect(encode(signature).slice(0, 20)).toBe('knI1Q_9CIzLH5Xy94Kkc');
  });

  it('of RFC 7638 section 3.1 are RSA: refused, as a key of no algorithm on the list', () => {
    expect(refused(() => jwkThumbprint({ kty: 'RSA', n: 'AQAB', e: 'AQAB' })).code).toBe(
      'KEY_INVALID',
    );
  });
});

describe('an Ed25519 signature', () => {
  const secret = hex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60');
  const key = ed25519.getPublicKey(secret);
  const signature = ed25519.sign(MESSAGE, secret);

  it('is refused with s plus the order of the group (RFC 8032 section 5.1.7)', () => {
    expect(verifies(okp(key), MESSAGE, signature)).toBe(true);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const s = number(signature.slice(32).toReversed()) + order;
    const malleable = new Uint8Array([...signature.slice(0, 32), ...bytesOf(s).toReversed()]);
    expect(verifies(okp(key), MESSAGE, malleable)).toBe(false);
  });

  it('is refused short, long and empty', () => {
    for (const bad of [signature.slice(1), new Uint8Array([...signature, 0]), new Uint8Array()]) {
      expect(verifies(okp(key), MESSAGE, bad)).toBe(false);
    }
  });

  // Under such a key one signature fits many messages, and nobody needs the private part.
  it.each([
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ])('has no key of small order: %s is refused', (text) => {
    const x = hex(text);
    expect(ed25519.Point.fromBytes(x, true).isSmallOrder()).toBe(true);
    const mirrored = Uint8Array.from(x, (byte, i) => (i === 31 ? byte | 0x80 : byte));
    for (const one of [x, mirrored]) {
      expect(refused(() => importVerifyKey(okp(one))).code).toBe('KEY_INVALID');
    }
  });

  it('has a key of exactly 32 bytes, in strict base64url', () => {
    const x = encode(key);
    for (const bad of [`${x}AA`, x.slice(2), `${x}=`, ` ${x}`, x.replace(/.$/, 'p')]) {
      const call = () => importVerifyKey({ kty: 'OKP', crv: 'Ed25519', x: bad });
      expect(refused(call).code, bad).toBe('KEY_INVALID');
    }
  });
});

describe('an ES256 signature', () => {
  const secret = hex('11'.repeat(32));
  const point = p256.getPublicKey(secret, false);
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: encode(point.slice(1, 33)),
    y: encode(point.slice(33)),
  };
  const signature = p256.sign(MESSAGE, secret);
  const [r, s] = [number(signature.slice(0, 32)), number(signature.slice(32))];
  const order = p256.Point.Fn.ORDER;
  const raw = (a: bigint, b: bigint) => new Uint8Array([...bytesOf(a), ...bytesOf(b)]);

  it.each([
    ['r = 0', raw(0n, s)],
    ['s = 0', raw(r, 0n)],
    ['r = 0 and s = 0', raw(0n, 0n)],
    ['r = n', raw(order, s)],
    ['s = n', raw(r, order)],
    ['r and s swapped', raw(s, r)],
    ['the form of X.509 (DER)', p256.Signature.fromBytes(signature).toBytes('der')],
    ['one byte less', signature.slice(1)],
    ['one byte more', new Uint8Array([...signature, 0])],
    ['nothing', new Uint8Array()],
  ])('is refused with %s (RFC 7518 section 3.4)', (_, bad) => {
    expect(verifies(jwk, MESSAGE, signature)).toBe(true);
    expect(verifies(jwk, MESSAGE, bad)).toBe(false);
  });

  // JWS asks for no low s, so one proof has two spellings: replay is judged by jti, never by bytes.
  it('is accepted with either of its two values of s', () => {
    expect(verifies(jwk, MESSAGE, raw(r, order - s))).toBe(true);
  });

  it('has a key on the curve', () => {
    const off = encode(bytesOf(number(decode(jwk.y)) ^ 1n));
    expect(refused(() => importVerifyKey({ ...jwk, y: off })).code).toBe('KEY_INVALID');
    expect(refused(() => importVerifyKey({ ...jwk, x: `${jwk.x}AA` })).code).toBe('KEY_INVALID');
  });
});

describe('an ML-DSA-65 signature', () => {
  const { publicKey, secretKey } = ml_dsa65.keygen(new Uint8Array(32).fill(7));
  const jwk = akp('ML-DSA-65', publicKey);
  const signature = ml_dsa65.sign(MESSAGE, secretKey);
  /** FIPS 204: the hint is 55 indices and 6 counts at the end. */
  const hintAt = signature.length - 61;
  const changed = (change: (bytes: Uint8Array) => void) => {
    const bytes = Uint8Array.from(signature);
    change(bytes);
    return bytes;
  };
  const swap = (bytes: Uint8Array, a: number, b: number) => {
    [bytes[a], bytes[b]] = [bytes[b] as number, bytes[a] as number];
  };

  it('of another implementation is accepted, randomised or not', () => {
    expect(signature).toHaveLength(3309);
    expect(verifies(jwk, MESSAGE, signature)).toBe(true);
    const fixed = ml_dsa65.sign(MESSAGE, secretKey, { extraEntropy: false });
    expect(verifies(jwk, MESSAGE, fixed)).toBe(true);
  });

  it.each([
    ['hint indices in another order', changed((bytes) => swap(bytes, hintAt, hintAt + 1))],
    [
      'a hint index given twice',
      changed((bytes) => bytes.copyWithin(hintAt + 1, hintAt, hintAt + 1)),
    ],
    ['something in the padding of the hint', changed((bytes) => bytes.set([1], hintAt + 54))],
    ['counts of the hint that fall', changed((bytes) => bytes.set([0], hintAt + 56))],
    ['a count of the hint above 55', changed((bytes) => bytes.set([56], hintAt + 60))],
    ['z out of range', changed((bytes) => bytes.fill(0, 48, 48 + 640))],
    ['another commitment', changed((bytes) => bytes.set([(bytes[0] as number) ^ 1], 0))],
    ['one byte less', signature.slice(0, -1)],
    ['one byte more', new Uint8Array([...signature, 0])],
    ['nothing', new Uint8Array()],
    // RFC 9964 section 3: the context is empty.
    ['a context', ml_dsa65.sign(MESSAGE, secretKey, { context: ascii('remit') })],
  ])('is refused with %s', (_, bad) => {
    expect(verifies(jwk, MESSAGE, bad)).toBe(false);
  });

  it('has a key of exactly 1952 bytes, and of its own algorithm', () => {
    for (const bad of [publicKey.slice(1), new Uint8Array([...publicKey, 0])]) {
      expect(refused(() => importVerifyKey(akp('ML-DSA-65', bad))).code).toBe('KEY_INVALID');
    }
    const kinds: Algorithm[] = ['ML-DSA-44'];
    for (const alg of [...kinds, 'ML-DSA-87', 'ML-DSA-65-ES256']) {
      expect(refused(() => importVerifyKey(akp(alg, publicKey))).code, alg).toBe('KEY_INVALID');
    }
  });

  it('has a seed of 32 bytes as its private part, never an expanded key (RFC 9964 section 4)', () => {
    for (const priv of [encode(secretKey), 'A'.repeat(42), '']) {
      expect(refused(() => importSigner({ ...jwk, priv })).code).toBe('KEY_INVALID');
    }
  });
});
