import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { ALGORITHMS, type Algorithm } from './algorithms.ts';
import { TokenError } from './errors.ts';
import { encodeJson, encodePart, isRecord } from './jws.ts';

/** A public key as a JWK: only the members of its thumbprint. */
export type PublicJwk = Readonly<Record<string, string>>;

/** A key that verifies, bound to the one algorithm that it is for. */
export interface VerifyKey {
  readonly kid: string;
  readonly alg: Algorithm;
  readonly key: KeyObject;
}

export interface Signer {
  /** The RFC 7638 thumbprint of the public key. */
  readonly kid: string;
  readonly alg: Algorithm;
  readonly publicJwk: PublicJwk;
  /** A compact JWS. `alg` and `kid` are added; a header with a `jwk` gets no `kid`. */
  sign(header: Readonly<Record<string, unknown>>, payload: object | string): string;
}

const PRIVATE_MEMBERS = ['d', 'priv', 'k', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];

/** Members of a public key that are bytes. */
const BYTES = new Set(['x', 'y', 'pub']);

// The points of small order of Ed25519, the two without a canonical form included: y, little-endian,
// without the sign of x. One signature under such a key fits many messages.
const SMALL_ORDER = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]);

function hasSmallOrder(x: string): boolean {
  const bytes = Buffer.from(x, 'base64url');
  if (bytes.length === 32) bytes[31] = (bytes[31] as number) & 0x7f;
  return SMALL_ORDER.has(bytes.toString('hex'));
}

function invalid(message: string, cause?: unknown): TokenError {
  return new TokenError('KEY_INVALID', message, {}, cause === undefined ? undefined : { cause });
}

function algorithmOf(jwk: Readonly<Record<string, unknown>>): Algorithm {
  for (const [alg, row] of ALGORITHMS) {
    if (row.kty !== jwk['kty'] || row.crv !== jwk['crv']) continue;
    // RFC 9964: `alg` is required in an AKP key; elsewhere it may be left out, but not lie.
    if (jwk['alg'] === alg || (row.kty !== 'AKP' && jwk['alg'] === undefined)) {
      return alg as Algorithm;
    }
  }
  throw invalid('the key is of a kind that is not accepted');
}

function publicMembers(jwk: Readonly<Record<string, unknown>>): { alg: Algorithm; jwk: PublicJwk } {
  const alg = algorithmOf(jwk);
  const row = ALGORITHMS.get(alg);
  if (row === undefined) throw invalid('the key is of a kind that is not accepted');
  const names = ['kty', ...(row.crv === undefined ? [] : ['crv']), ...row.members];
  const picked = names.map((name) => {
    const value = jwk[name];
    if (typeof value !== 'string' || value.length > 4096) throw invalid(`the key has no "${name}"`);
    // One spelling, so that one key has one thumbprint.
    if (BYTES.has(name) && Buffer.from(value, 'base64url').toString('base64url') !== value) {
      throw invalid(`"${name}" is not strict base64url`);
    }
    return [name, value] as const;
  });
  if (alg === 'Ed25519' && hasSmallOrder(String(jwk['x']))) throw invalid('the key proves nothing');
  return { alg, jwk: Object.freeze(Object.fromEntries(picked)) };
}

function thumbprint(members: PublicJwk): string {
  const sorted = Object.fromEntries(
    Object.entries(members).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  return createHash('sha256').update(JSON.stringify(sorted)).digest('base64url');
}

/**
 * The SHA-256 thumbprint of a public or private key of a kind that this package knows (RFC 7638;
 * RFC 9964 for AKP). Throws TokenError KEY_INVALID for others.
 */
export function jwkThumbprint(jwk: unknown): string {
  if (!isRecord(jwk)) throw invalid('a JWK is an object');
  return thumbprint(publicMembers(jwk).jwk);
}

/**
 * Reads a public key. Refuses private members and a `kid` that isn't the thumbprint; other members
 * (`use`, `key_ops`) are ignored. Throws TokenError KEY_INVALID.
 */
export function importVerifyKey(jwk: unknown): VerifyKey {
  const { members, alg, kid } = publicKeyParts(jwk);
  return { kid, alg, key: importPublic(members) };
}

/** The checked members and the thumbprint of a public key, before it is imported. */
export function publicKeyParts(jwk: unknown): { members: PublicJwk; alg: Algorithm; kid: string } {
  if (!isRecord(jwk)) throw invalid('a JWK is an object');
  if (PRIVATE_MEMBERS.some((name) => Object.hasOwn(jwk, name))) {
    throw invalid('a private key where a public one belongs');
  }
  const { alg, jwk: members } = publicMembers(jwk);
  const kid = thumbprint(members);
  if (jwk['kid'] !== undefined && jwk['kid'] !== kid) {
    throw invalid('the kid is not the thumbprint of the key');
  }
  return { members, alg, kid };
}

export function importPublic(members: PublicJwk): KeyObject {
  try {
    return createPublicKey({ key: members, format: 'jwk' });
  } catch (cause) {
    throw invalid('the key cannot be read', cause);
  }
}

/** Reads a private JWK and makes a signer of it. Throws TokenError KEY_INVALID. */
export function importSigner(privateJwk: unknown): Signer {
  if (!isRecord(privateJwk)) throw invalid('a JWK is an object');
  const { alg, jwk: publicJwk } = publicMembers(privateJwk);
  const row = ALGORITHMS.get(alg);
  const secret = row && privateJwk[row.privateMember];
  if (row === undefined || typeof secret !== 'string') throw invalid('the private part is missing');
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: { ...publicJwk, [row.privateMember]: secret }, format: 'jwk' });
  } catch (cause) {
    throw invalid('the key cannot be read', cause);
  }
  const kid = thumbprint(publicJwk);
  // OpenSSL doesn't compare the halves of an Ed25519 JWK; a wrong pair would sign what nobody verifies.
  const probe = Buffer.from(kid);
  if (!row.verify(probe, importPublic(publicJwk), row.sign(probe, key))) {
    throw invalid('the private and the public part do not belong together');
  }
  const sign = (header: Readonly<Record<string, unknown>>, payload: object | string): string => {
    const identified = Object.hasOwn(header, 'jwk') ? { ...header, alg } : { ...header, alg, kid };
    const body = typeof payload === 'string' ? encodePart(payload) : encodeJson(payload);
    const input = `${encodeJson(identified)}.${body}`;
    return `${input}.${encodePart(row.sign(Buffer.from(input, 'ascii'), key))}`;
  };
  return Object.freeze({ kid, alg, publicJwk, sign });
}
