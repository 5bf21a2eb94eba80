import { createHash, hash, timingSafeEqual } from 'node:crypto';
import { ALGORITHMS, type ProofAlgorithm } from './algorithms.ts';
import { TokenError } from './errors.ts';
import { normalHtu } from './htu.ts';
import { type CompactJws, decodeObject, isTyp, type JsonRecord, readCompact } from './jws.ts';
import {
  importPublic,
  type PublicJwk,
  publicKeyParts,
  type Signer,
  type VerifyKey,
} from './keys.ts';

const MAX_PROOF_LENGTH = 4096;
const HEADER = new Set(['alg', 'jwk', 'typ']);

/** Remembers imported keys by thumbprint, so that the second proof of a client costs only its check. */
export interface ProofKeyCache {
  get(jkt: string): VerifyKey | undefined;
  set(jkt: string, key: VerifyKey): unknown;
}

export interface ProofOptions {
  readonly proof: string;
  /** The method of the request, as sent. */
  readonly method: string;
  /** The URL that the client called, as it saw it (behind a proxy: the public one). */
  readonly url: string;
  /** Where a token is presented: the proof must carry its hash. At a token endpoint: left out. */
  readonly accessToken?: string | undefined;
  /** The same as its {@link accessTokenHash}, for whoever has it already. */
  readonly ath?: string | undefined;
  /** `cnf.jkt` of the token. Given, another key is refused before its signature is checked. */
  readonly jkt?: string | undefined;
  /** Given, the proof must carry exactly one of these nonces. */
  readonly nonce?: string | readonly string[] | undefined;
  /** Given, the proof must carry the SHA-256 of these bytes, the request's whole body, as `bd`. */
  readonly body?: Uint8Array | undefined;
  readonly nowSeconds: number;
  /** Seconds that `iat` may be away from now, before or after. 1 to 300. */
  readonly windowSeconds: number;
  /** Allowed algorithms. Required: there is no default. */
  readonly algorithms: readonly ProofAlgorithm[];
  readonly keyCache?: ProofKeyCache | undefined;
}

export interface VerifiedProof {
  /** Thumbprint of the key that signed. */
  readonly jkt: string;
  readonly jti: string;
  readonly iat: number;
  readonly nonce?: string;
}

const bad = (what: string, cause?: unknown) =>
  new TokenError('DPOP_INVALID', what, {}, cause === undefined ? undefined : { cause });

/**
 * Verifies a DPoP proof (RFC 9449 section 4.3).
 *
 * Checks: one compact JWS of at most 4 KB; `alg` on the list; a header of `alg`, `typ` and `jwk`
 * alone; `typ` is `dpop+jwt`; a public key that fits the algorithm; the key named by `jkt`; `htm` and
 * `htu`; `iat` within the window; `ath` where an access token is given; the nonce where one is given;
 * a `jti` of at least 96 bits; `bd` where a body is given; last the signature.
 *
 * `bd` is ours: base64url of the SHA-256 of the body's bytes as they were sent (RFC 9449 binds no body).
 *
 * Doesn't remember anything: the caller must refuse a (`jkt`, `jti`) that it saw within the window.
 * The method and the URL must be those of the request, not of a header that the client chose.
 *
 * @throws TokenError DPOP_INVALID, DPOP_KEY_MISMATCH, DPOP_BINDING_MISMATCH, DPOP_EXPIRED,
 * DPOP_NONCE_MISMATCH, DPOP_BODY_MISMATCH
 */
export function verifyProof(options: ProofOptions): VerifiedProof {
  const { nowSeconds, windowSeconds } = options;
  if (!Number.isFinite(nowSeconds) || !(windowSeconds >= 1 && windowSeconds <= 300)) {
    throw new TypeError('nowSeconds must be a number, windowSeconds one from 1 to 300');
  }
  const jws = readCompact(options.proof, {
    maxLength: MAX_PROOF_LENGTH,
    tooLarge: 'DPOP_INVALID',
    malformed: 'DPOP_INVALID',
  });
  const { alg, kid, members } = readHeader(jws, options.algorithms);
  if (options.jkt !== undefined && options.jkt !== kid) {
    throw new TokenError('DPOP_KEY_MISMATCH', 'the proof is of another key');
  }
  const claims = decodeObject(jws.payload, 8, 'DPOP_INVALID');
  const verified = checkClaims(claims, options);
  const known = options.keyCache?.get(kid);
  const key = known ?? { kid, alg, key: readKey(members) };
  if (!ALGORITHMS.get(alg)?.verify(Buffer.from(jws.signed, 'ascii'), key.key, jws.signature)) {
    throw bad('the signature does not verify');
  }
  if (known === undefined) options.keyCache?.set(kid, key);
  return { jkt: kid, ...verified };
}

function readKey(members: PublicJwk) {
  try {
    return importPublic(members);
  } catch (cause) {
    throw bad('the key cannot be read', cause);
  }
}

function readHeader({ header }: CompactJws, algorithms: readonly ProofAlgorithm[]) {
  const alg = algorithms.find((allowed) => allowed === header['alg']);
  if (alg === undefined) throw bad('the algorithm is not on the list');
  if (Object.keys(header).some((name) => !HEADER.has(name))) {
    throw bad('the header has a parameter that is not allowed');
  }
  if (!isTyp(header['typ'], 'dpop+jwt')) throw bad('the JWT is not a DPoP proof');
  try {
    const parts = publicKeyParts(header['jwk']);
    if (parts.alg === alg) return { ...parts, alg };
  } catch (cause) {
    throw bad('the key is not acceptable', cause);
  }
  throw bad('the key is for another algorithm');
}

function checkClaims(
  claims: JsonRecord,
  options: ProofOptions,
): Pick<VerifiedProof, 'jti' | 'iat' | 'nonce'> {
  const { jti, iat, htm, htu, ath, nonce, bd } = claims;
  // 96 bits are 16 characters of base64url (RFC 9449 section 4.2).
  if (typeof jti !== 'string' || jti.length < 16 || jti.length > 256)
    throw bad('jti is not usable');
  if (typeof iat !== 'number' || !Number.isSafeInteger(iat)) throw bad('iat is not a whole number');
  if (typeof htm !== 'string' || typeof htu !== 'string') throw bad('htm or htu is missing');
  const called = normalHtu(options.url);
  // The same text is the same URL: most callers write it as the server does.
  const same = htu === called || normalHtu(htu) === called;
  if (htm !== options.method || called === undefined || !same) {
    throw new TokenError('DPOP_BINDING_MISMATCH', 'the proof is for another request');
  }
  const { accessToken } = options;
  const expected = accessToken === undefined ? options.ath : accessTokenHash(accessToken);
  if (expected !== undefined && !sameText(ath, expected)) {
    throw new TokenError('DPOP_BINDING_MISMATCH', 'the proof is for another token');
  }
  if (Math.abs(options.nowSeconds - iat) > options.windowSeconds) {
    throw new TokenError('DPOP_EXPIRED', 'the proof is outside the time window');
  }
  if (options.body !== undefined && !sameText(bd, bodyDigest(options.body))) {
    throw new TokenError('DPOP_BODY_MISMATCH', 'the proof is for another body');
  }
  if (options.nonce === undefined) return { jti, iat };
  const given = [options.nonce].flat().find((each) => sameText(nonce, each));
  if (given === undefined) {
    throw new TokenError('DPOP_NONCE_MISMATCH', 'the proof has not the nonce that was given');
  }
  return { jti, iat, nonce: given };
}

function sameText(given: unknown, expected: string): boolean {
  if (typeof given !== 'string') return false;
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The `ath` of a token, or of a token with its links as one text (RFC 9449 section 4.2). */
export function accessTokenHash(accessToken: string): string {
  return hash('sha256', accessToken, 'base64url');
}

function bodyDigest(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}

/**
 * Makes a DPoP proof (RFC 9449 section 4.2). `jti` must be new and of at least 96 random bits;
 * query and fragment of the URL are left out. With `body` the proof is for these bytes alone.
 *
 * @throws TokenError KEY_INVALID for a key that proofs aren't made with, DPOP_INVALID for a URL or
 * a jti that no verifier would take
 */
export function createProof(options: {
  readonly signer: Signer;
  readonly method: string;
  readonly url: string;
  readonly accessToken?: string | undefined;
  readonly nonce?: string | undefined;
  readonly body?: Uint8Array | undefined;
  readonly nowSeconds: number;
  readonly jti: string;
}): string {
  const { signer, method, accessToken, nonce, body, jti } = options;
  if (signer.alg !== 'ES256' && signer.alg !== 'Ed25519') {
    throw new TokenError('KEY_INVALID', 'proofs are made with ES256 or Ed25519');
  }
  const htu = normalHtu(options.url);
  if (htu === undefined) throw bad('the URL is not an absolute http(s) URL');
  if (jti.length < 16) throw bad('jti has less than 96 bits');
  return signer.sign(
    { typ: 'dpop+jwt', jwk: signer.publicJwk },
    {
      jti,
      htm: method,
      htu,
      iat: Math.floor(options.nowSeconds),
      ...(accessToken !== undefined && { ath: accessTokenHash(accessToken) }),
      ...(nonce !== undefined && { nonce }),
      ...(body !== undefined && { bd: bodyDigest(body) }),
    },
  );
}
