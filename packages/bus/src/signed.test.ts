import fc from 'fast-check';
import {
  CompactSign,
  calculateJwkThumbprint,
  compactVerify,
  exportJWK,
  generateKeyPair,
  importJWK,
} from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PrivateJwk } from './keys.ts';
import { createSigner, type Signer } from './signer.ts';
import { createVerifier } from './verifier.ts';

const text = new TextEncoder();
let key: PrivateJwk;
let otherKey: PrivateJwk;
let signer: Signer;

async function newKey(): Promise<PrivateJwk> {
  const { privateKey } = await generateKeyPair('Ed25519', { extractable: true });
  const { kty, crv, x, d } = await exportJWK(privateKey);
  return { kty, crv, x, d };
}

beforeAll(async () => {
  key = await newKey();
  otherKey = await newKey();
  signer = createSigner({ keys: [key] });
});

/** A JWS with exactly this header, signed correctly by `key`: only the header can be what is refused. */
async function withHeader(
  header: Record<string, unknown> | string,
  payload = '{}',
): Promise<string> {
  const encoded = Buffer.from(
    typeof header === 'string' ? header : JSON.stringify(header),
  ).toString('base64url');
  const { createPrivateKey, sign } = await import('node:crypto');
  const input = `${encoded}.${Buffer.from(payload).toString('base64url')}`;
  const privateKey = createPrivateKey({ key: { ...key } as never, format: 'jwk' });
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`;
}

function refusal(act: () => unknown): { code: string; message: string } {
  try {
    act();
  } catch (error) {
    return { code: (error as { code: string }).code, message: (error as Error).message };
  }
  return { code: 'none', message: 'nothing was thrown' };
}

const INVALID = 'EVENT_SIGNATURE_INVALID';

describe('a signer', () => {
  it('writes what jose verifies, with a closed header and the thumbprint as kid', async () => {
    const jws = signer.sign('remit-beat+jws', '{"a":1}');
    const { payload, protectedHeader } = await compactVerify(
      jws,
      await importJWK({ kty: 'OKP', crv: 'Ed25519', x: key.x as string }, 'Ed25519'),
      { algorithms: ['Ed25519'] },
    );
    expect(Buffer.from(payload).toString()).toBe('{"a":1}');
    expect(protectedHeader).toEqual({ alg: 'Ed25519', kid: signer.kid, typ: 'remit-beat+jws' });
    expect(signer.kid).toBe(
      await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x: key.x as string }),
    );
  });

  it('signs with its first key and publishes all, never their private halves', () => {
    const rotated = createSigner({ keys: [otherKey, key] });
    expect(rotated.kid).not.toBe(signer.kid);
    expect(rotated.publicJwks().keys.map(({ x }) => x)).toEqual([otherKey.x, key.x]);
    expect(JSON.stringify(rotated.publicJwks())).not.toContain(key.d);
    expect(rotated.publicJwks().keys[0]).toEqual({
      kty: 'OKP',
      crv: 'Ed25519',
      x: otherKey.x,
      kid: rotated.kid,
      alg: 'Ed25519',
      use: 'sig',
    });
  });

  it('refuses an empty set, other keys, halves that do not belong together and a foreign kid', () => {
    const bad: [unknown[], string][] = [
      [[], 'a signer needs a key'],
      [[{ kty: 'EC', crv: 'P-256', x: 'a', d: 'b' }], 'not an Ed25519 key'],
      [[{ kty: 'OKP', crv: 'X25519', x: key.x, d: key.d }], 'not an Ed25519 key'],
      [[{ ...key, alg: 'EdDSA' }], 'a key for another algorithm'],
      [[{ ...key, d: undefined }], 'not an Ed25519 private key'],
      [[{ ...key, d: `${key.d}=` }], 'not an Ed25519 private key'],
      [[{ ...key, x: 'AAAA' }], 'not an Ed25519 public key'],
      [[{ ...key, x: otherKey.x }], 'the two halves of a key do not belong together'],
      [[{ ...key, kid: 'mine' }], 'kid is not the thumbprint of the key'],
    ];
    for (const [keys, message] of bad) {
      const refused = refusal(() => createSigner({ keys: keys as PrivateJwk[] }));
      expect(refused).toEqual({ code: 'KEY_INVALID', message });
      expect(JSON.stringify(refused)).not.toContain(key.d);
    }
  });
});

describe('a verifier', () => {
  it('gives back the exact bytes that were signed', () => {
    const verifier = createVerifier(signer.publicJwks());
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
        const jws = signer.sign('remit-reply+jws', bytes);
        expect([...verifier.verify('remit-reply+jws', jws)]).toEqual([...bytes]);
        expect([...verifier.verify('remit-reply+jws', text.encode(jws))]).toEqual([...bytes]);
      }),
      { numRuns: 50 },
    );
  });

  it('takes what jose signs', async () => {
    const jws = await new CompactSign(text.encode('x'))
      .setProtectedHeader({ alg: 'Ed25519', kid: signer.kid, typ: 'remit-mark+jws' })
      .sign(await importJWK({ ...key } as never, 'Ed25519'));
    expect(
      Buffer.from(createVerifier(signer.publicJwks()).verify('remit-mark+jws', jws)).toString(),
    ).toBe('x');
  });

  it('refuses every text that differs from a signed one in one character', () => {
    const verifier = createVerifier(signer.publicJwks());
    const jws = signer.sign('remit-beat+jws', '{"n":1}');
    fc.assert(
      fc.property(fc.nat(jws.length - 1), fc.stringMatching(/^[A-Za-z0-9_.=-]$/), (at, char) => {
        fc.pre(jws[at] !== char);
        const forged = jws.slice(0, at) + char + jws.slice(at + 1);
        expect(refusal(() => verifier.verify('remit-beat+jws', forged)).code).toMatch(
          /^EVENT_(SIGNATURE_INVALID|TYPE_MISMATCH)$/,
        );
      }),
      { numRuns: 500 },
    );
  });

  // Red when decodeBase64url() no longer encodes again what it decoded.
  it('takes one spelling of a signature only', () => {
    const verifier = createVerifier(signer.publicJwks());
    const jws = signer.sign('remit-beat+jws', '{"n":1}');
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    // The last character of 64 bytes carries two bits; the other four must be zero.
    const other = alphabet[alphabet.indexOf(jws.at(-1) as string) + 1] as string;
    for (const forged of [jws.slice(0, -1) + other, `${jws}=`, `${jws}\n`]) {
      expect(refusal(() => verifier.verify('remit-beat+jws', forged))).toEqual({
        code: INVALID,
        message: 'not base64url',
      });
    }
    verifier.verify('remit-beat+jws', jws);
  });

  // Red when the comparison of `typ` is taken out of verify().
  it('takes no message for one of another kind', () => {
    const verifier = createVerifier(signer.publicJwks());
    const jws = signer.sign('remit-beat+jws', '{}');
    for (const typ of ['remit-reply+jws', 'remit-revocation+jws', 'remit-mark+jws'] as const) {
      expect(refusal(() => verifier.verify(typ, jws))).toEqual({
        code: 'EVENT_TYPE_MISMATCH',
        message: 'signed as another kind of message',
      });
    }
  });

  // Each is signed correctly by the pinned key, so each goes through when readHeader() is relaxed there.
  it('refuses a header that is not exactly alg, kid and typ', async () => {
    const verifier = createVerifier(signer.publicJwks());
    const good = { alg: 'Ed25519', kid: signer.kid, typ: 'remit-beat+jws' };
    expect(refusal(() => verifier.verify('remit-beat+jws', '')).code).toBe(INVALID);
    const bad: [Record<string, unknown> | string, string][] = [
      [{ ...good, alg: 'none' }, 'algorithm is not accepted'],
      [{ ...good, alg: 'EdDSA' }, 'algorithm is not accepted'],
      [{ ...good, alg: 'ed25519' }, 'algorithm is not accepted'],
      [{ ...good, alg: 'HS256' }, 'algorithm is not accepted'],
      [{ ...good, jwk: 'k' }, 'header has unknown members'],
      [{ ...good, b64: false }, 'header has unknown members'],
      [{ ...good, jku: 'https://evil.test' }, 'header has unknown members'],
      [{ alg: 'Ed25519', typ: good.typ }, 'header is incomplete'],
      [{ alg: 'Ed25519', kid: good.kid }, 'header is incomplete'],
      [
        `{"alg":"none","alg":"Ed25519","kid":"${signer.kid}","typ":"remit-beat+jws"}`,
        'header is not one JSON object',
      ],
      ['[]', 'header is not one JSON object'],
      [{ ...good, kid: 'x'.repeat(600) }, 'header is not base64url'],
    ];
    for (const [header, message] of bad) {
      const jws = await withHeader(header);
      expect(
        refusal(() => verifier.verify('remit-beat+jws', jws)),
        message,
      ).toEqual({ code: INVALID, message });
    }
    expect(refusal(() => verifier.verify('remit-beat+jws', withDots(signer)))).toEqual({
      code: INVALID,
      message: 'not a compact JWS',
    });
    const unknown = createSigner({ keys: [otherKey] }).sign('remit-beat+jws', '{}');
    expect(refusal(() => verifier.verify('remit-beat+jws', unknown))).toEqual({
      code: INVALID,
      message: 'signed by an unknown key',
    });
    expect(Buffer.from(verifier.verify('remit-beat+jws', await withHeader(good))).toString()).toBe(
      '{}',
    );
  });

  it('believes only the new keys after they were replaced, and keeps the old ones when that fails', () => {
    const other = createSigner({ keys: [otherKey] });
    const verifier = createVerifier(signer.publicJwks().keys);
    verifier.verify('remit-beat+jws', signer.sign('remit-beat+jws', 'a'));
    expect(refusal(() => verifier.replaceKeys([]))).toEqual({
      code: 'KEY_INVALID',
      message: 'a verifier needs a key',
    });
    verifier.verify('remit-beat+jws', signer.sign('remit-beat+jws', 'b'));
    verifier.replaceKeys(other.publicJwks());
    verifier.verify('remit-beat+jws', other.sign('remit-beat+jws', 'c'));
    expect(verifier.kids()).toEqual([other.kid]);
    expect(
      refusal(() => verifier.verify('remit-beat+jws', signer.sign('remit-beat+jws', 'd'))).message,
    ).toBe('signed by an unknown key');
  });

  it('refuses a private key among the public ones', () => {
    expect(refusal(() => createVerifier([key as never]))).toEqual({
      code: 'KEY_INVALID',
      message: 'a private key where a public one belongs',
    });
  });
});

function withDots(by: Signer): string {
  return `${by.sign('remit-beat+jws', '{}')}.x`;
}
