import type { Scope } from '../scope/index.ts';
import type { ProofAlgorithm } from '../token/algorithms.ts';
import { closedClaim, count } from '../token/claims.ts';
import { readScope } from '../token/details.ts';
import { TokenError } from '../token/errors.ts';
import { decodeObject, isRecord, isTyp, type JsonRecord, readCompact } from '../token/jws.ts';
import { type PublicJwk, publicKeyParts } from '../token/keys.ts';
import { MAX_TOKEN_LENGTH } from '../token/verify.ts';
import { LinkError } from './errors.ts';

/** The claims of one link. */
export interface LinkClaims {
  /** `jti`: 128 random bits, as its signer says. The link goes by `linkId`. */
  readonly id: string;
  /** SHA-256 of the text before the link. */
  readonly previous: string;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Thumbprint of the key that the link hands on to. */
  readonly jkt: string;
  readonly scope: Scope;
}

/** A link, read but not verified. */
export interface ReadLink {
  readonly claims: LinkClaims;
  readonly alg: ProofAlgorithm;
  /** Thumbprint of the key in its header: the key that must have signed it. */
  readonly signedBy: string;
  readonly members: PublicJwk;
  /** The text that is signed. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

const HEADER = new Set(['alg', 'jwk', 'typ']);

const malformed = (what: string, claim?: string, cause?: unknown) =>
  new LinkError(
    'LINK_MALFORMED',
    what,
    claim === undefined ? {} : { claim },
    cause === undefined ? undefined : { cause },
  );

/**
 * Reads one link of a chain, without believing it.
 *
 * Checks: one compact JWS (RFC 7515) in strict base64url; `alg` on the list; a header of `alg`, `typ`
 * and `jwk` alone (so no `kid`, `jku`, `x5c`, `crit`, `b64`); `typ` is `remit-link+jwt`; a public key of
 * the members of its kind alone, that fits the algorithm; claims that are exactly `prev`, `jti`, `iat`,
 * `exp`, `cnf` and `permissions`; `jti` of 128 bits; `cnf` with a `jkt` alone; `exp` after `iat`.
 *
 * Doesn't check the signature, nor anything against what stands before the link: `verifyChain` does.
 *
 * @throws LinkError LINK_MALFORMED, LINK_ALG_NOT_ALLOWED
 */
export function readLink(text: string, algorithms: readonly ProofAlgorithm[]): ReadLink {
  try {
    const { header, payload, signed, signature } = readCompact(text, {
      maxLength: MAX_TOKEN_LENGTH,
      tooLarge: 'TOKEN_TOO_LARGE',
      malformed: 'TOKEN_MALFORMED',
    });
    const key = readHeader(header, algorithms);
    const claims = readClaims(decodeObject(payload, 32, 'TOKEN_MALFORMED'));
    return { claims, ...key, signed, signature };
  } catch (cause) {
    if (!(cause instanceof TokenError)) throw cause;
    throw malformed(`a link is not acceptable: ${cause.message}`, cause.context.claim, cause);
  }
}

function readHeader(header: JsonRecord, algorithms: readonly ProofAlgorithm[]) {
  const alg = algorithms.find((allowed) => allowed === header['alg']);
  if (alg === undefined) {
    throw new LinkError('LINK_ALG_NOT_ALLOWED', 'the algorithm of a link is not on the list');
  }
  if (Object.keys(header).some((name) => !HEADER.has(name))) {
    throw malformed('the header of a link has a parameter that is not allowed');
  }
  if (!isTyp(header['typ'], 'remit-link+jwt')) throw malformed('the JWT is not a link');
  const { alg: keyAlg, kid, members } = publicKeyParts(header['jwk']);
  if (keyAlg !== alg) throw malformed('the key of a link is for another algorithm');
  const named = isRecord(header['jwk']) ? Object.keys(header['jwk']) : [];
  if (named.some((name) => !Object.hasOwn(members, name))) {
    throw malformed('the key of a link has a member that is not its public part');
  }
  return { alg, signedBy: kid, members };
}

function readClaims(payload: JsonRecord): LinkClaims {
  const claims = closedClaim(payload, '(all)', ['cnf', 'exp', 'iat', 'jti', 'permissions', 'prev']);
  const issuedAt = count(claims['iat'], 'iat');
  const expiresAt = count(claims['exp'], 'exp');
  if (expiresAt <= issuedAt) throw malformed('a link ends before it begins', 'exp');
  if (!Array.isArray(claims['permissions'])) {
    throw malformed('a link has a list of permissions', 'permissions');
  }
  return {
    id: bytes(claims['jti'], 'jti', 16),
    previous: bytes(claims['prev'], 'prev', 32),
    issuedAt,
    expiresAt,
    jkt: bytes(closedClaim(claims['cnf'], 'cnf', ['jkt'])['jkt'], 'cnf.jkt', 32),
    scope: readScope(claims['permissions'], 'permissions'),
  };
}

/** So many bytes in strict base64url. */
function bytes(value: unknown, claim: string, length: number): string {
  if (typeof value === 'string' && value.length === Math.ceil((length * 4) / 3)) {
    const decoded = Buffer.from(value, 'base64url');
    if (decoded.length === length && decoded.toString('base64url') === value) return value;
  }
  throw malformed(`${length} bytes in base64url are expected`, claim);
}
