import { ALGORITHMS, type TokenAlgorithm } from './algorithms.ts';
import { TokenError } from './errors.ts';
import { decodeObject, isTyp, type JsonRecord, readCompact } from './jws.ts';
import type { VerifyKey } from './keys.ts';

/** Token, links and proof together; so each of them alone. */
export const MAX_TOKEN_LENGTH = 12 * 1024;
/** Characters that whoever makes a token or a link leaves to a proof. */
export const PROOF_ROOM = 1024;

const HEADER = new Set(['alg', 'kid', 'typ']);

export interface VerifyOptions {
  /** The published keys of exactly one issuer, from a Map: never a look-up outside the process. */
  readonly keys: (kid: string) => VerifyKey | undefined;
  /** Allowed algorithms. Required: there is no default. */
  readonly algorithms: readonly TokenAlgorithm[];
}

export interface VerifiedToken {
  readonly header: { readonly alg: TokenAlgorithm; readonly kid: string };
  readonly payload: JsonRecord;
}

/**
 * Verifies the signature of a capability token (RFC 9068 section 4, RFC 8725).
 *
 * Checks, in this order: at most 12 KB; three parts of strict base64url; `alg` on the list, before any
 * key is looked up; a header of `alg`, `kid` and `typ` alone (so no `jwk`, `jku`, `x5u`, `x5c`, `crit`,
 * `b64`, `zip`); `typ` is `at+jwt`; the key is known and for this algorithm; the signature; a payload
 * that is one JSON object without duplicate names.
 *
 * Doesn't check any claim: `readCapability`, then `checkIssuer`, `checkAudience`, `checkTimes`,
 * `checkBinding`, `permits` and the revocation view do.
 *
 * @throws TokenError TOKEN_TOO_LARGE, TOKEN_MALFORMED, ALG_NOT_ALLOWED, HEADER_NOT_ALLOWED,
 * TYP_MISMATCH, KID_UNKNOWN, KEY_ALG_MISMATCH, SIGNATURE_INVALID
 */
export function verifyCapabilitySignature(token: string, options: VerifyOptions): VerifiedToken {
  const { header, signed, payload, signature } = readCompact(token, {
    maxLength: MAX_TOKEN_LENGTH,
    tooLarge: 'TOKEN_TOO_LARGE',
    malformed: 'TOKEN_MALFORMED',
  });
  const alg = options.algorithms.find((allowed) => allowed === header['alg']);
  const row = alg && ALGORITHMS.get(alg);
  if (alg === undefined || row === undefined) {
    throw new TokenError('ALG_NOT_ALLOWED', 'the algorithm is not on the list');
  }
  for (const name of Object.keys(header)) {
    if (!HEADER.has(name)) {
      throw new TokenError('HEADER_NOT_ALLOWED', 'the header has a parameter that is not allowed', {
        header: name.slice(0, 64),
      });
    }
  }
  if (!isTyp(header['typ'], 'at+jwt')) {
    throw new TokenError('TYP_MISMATCH', 'the JWT is not an access token', { header: 'typ' });
  }
  const key = keyOf(header['kid'], options.keys);
  if (key.alg !== alg) {
    throw new TokenError('KEY_ALG_MISMATCH', 'the key is for another algorithm', { kid: key.kid });
  }
  if (!row.verify(Buffer.from(signed, 'ascii'), key.key, signature)) {
    throw new TokenError('SIGNATURE_INVALID', 'the signature does not verify', { kid: key.kid });
  }
  return { header: { alg, kid: key.kid }, payload: decodeObject(payload, 32, 'TOKEN_MALFORMED') };
}

function keyOf(kid: unknown, keys: VerifyOptions['keys']): VerifyKey {
  const key = typeof kid === 'string' && kid.length <= 128 ? keys(kid) : undefined;
  if (key === undefined) throw new TokenError('KID_UNKNOWN', 'the issuer has no such key');
  return key;
}
