import type { Scope } from '../scope/index.ts';
import { type Capability, MAX_TOKEN_LENGTH, PROOF_ROOM, type Signer } from '../token/index.ts';
import { LinkError } from './errors.ts';
import { type LinkClaims, readLink } from './read.ts';
import { applyLink, type ChainLink, checkHops, signerOf } from './rules.ts';
import { append, hashBefore } from './verify.ts';

/** What a holder hands on, to which key. */
export interface NewLink {
  /** What token and links say so far, as `readCapability` or `verifyChain` gave it. */
  readonly capability: Capability;
  /** The token and its links so far, as they are sent. */
  readonly text: string;
  /** The key that the last element is bound to. ES256 or Ed25519. */
  readonly signer: Signer;
  /** 128 new random bits in base64url. */
  readonly id: string;
  /** Thumbprint of the key that it is handed to. */
  readonly jkt: string;
  readonly scope: Scope;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/**
 * Hands on part of a token without the issuer: signs one more link behind it. The rules are those that
 * a verifier applies (`verifyChain`), so what would be refused isn't made.
 *
 * Doesn't check that the token is alive or that `capability` is what `text` says.
 *
 * @returns the longer chain, and what its receiver may do with it
 * @throws LinkError; LINK_KEY_MISMATCH for a signer that isn't the holder's key, CHAIN_TOO_LARGE where
 * no proof would find room beside the chain (12 KB together)
 */
export function createLink(next: NewLink): { readonly text: string; readonly link: ChainLink } {
  const { capability, text, signer } = next;
  if (signer.kid !== signerOf(capability)) {
    throw new LinkError('LINK_KEY_MISMATCH', 'the signer is not the key of the holder');
  }
  const claims: LinkClaims = { ...next, previous: hashBefore(text) };
  checkHops(capability, 1);
  const made = signer.sign(
    { typ: 'remit-link+jwt', jwk: signer.publicJwk },
    {
      prev: claims.previous,
      jti: claims.id,
      iat: claims.issuedAt,
      exp: claims.expiresAt,
      cnf: { jkt: claims.jkt },
      permissions: claims.scope.permissions,
    },
  );
  // Read back, so that nothing is handed out that a verifier would not read.
  const { claims: read } = readLink(made, ['ES256', 'Ed25519']);
  const link = applyLink(capability, read);
  const longer = append(text, made);
  if (longer.length > MAX_TOKEN_LENGTH - PROOF_ROOM) {
    throw new LinkError('CHAIN_TOO_LARGE', 'token, links and a proof stay under 12 KB together');
  }
  return { text: longer, link };
}
