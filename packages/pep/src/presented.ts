import { MAX_TOKEN_LENGTH } from '@remit/capability/token';
import type { Reason, Signals } from '@remit/contracts';

/** What of an HTTP request an enforcement point looks at. */
export type Presented = {
  /** The `Authorization` header; an array when it was sent more than once. */
  authorization: string | string[] | undefined;
  /** The `DPoP` header. */
  proof: string | string[] | undefined;
  method: string;
  /** The URL that the client called, as it saw it. Behind a proxy: the public one. */
  url: string;
  /**
   * The whole body as it came, before anything decoded it; empty where there was none. Given, the proof
   * must be for these bytes (`bd`), and a token without binding is refused; left out, nothing binds the
   * body to the caller. `unread`: it should have been read and was not, which refuses.
   */
  body?: Uint8Array | 'unread' | undefined;
  /** Where the call came from, e.g. an address: junk is counted by it. Never used to allow. */
  source?: string;
  /** What the tool knows of the call that guardrails may read: risk, sign-in, volume. */
  signals?: Signals;
};

/** The credentials of one call, split but not believed. */
export type Credentials = { scheme: 'DPoP' | 'Bearer'; token: string; proof: string | undefined };

/**
 * Reads the credentials of a call: one `Authorization` of scheme DPoP (RFC 9449 section 7.1) or
 * Bearer (RFC 6750 section 2.1) and at most one `DPoP`. Two tokens, two proofs or a token anywhere
 * else are refused: one token decides alone. What stands for the token is checked by its verifier. Token, links and proof stay under 12 KB together.
 */
export function readCredentials(presented: Presented): Credentials | { refused: Reason } {
  const { authorization, proof } = presented;
  if (authorization === undefined) return { refused: 'token_missing' };
  if (Array.isArray(authorization)) return { refused: 'token_malformed' };
  // Node joins repeated headers that it doesn't know with a comma, which is in no proof.
  if (Array.isArray(proof) || proof?.includes(',')) return { refused: 'proof_invalid' };
  const space = authorization.indexOf(' ');
  const scheme = authorization.slice(0, Math.max(space, 0)).toLowerCase();
  const token = authorization.slice(space + 1);
  if (scheme !== 'dpop' && scheme !== 'bearer') return { refused: 'token_missing' };
  if (token.length + (proof?.length ?? 0) > MAX_TOKEN_LENGTH) return { refused: 'token_too_large' };
  if (token === '') return { refused: 'token_malformed' };
  return { scheme: scheme === 'dpop' ? 'DPoP' : 'Bearer', token, proof };
}
