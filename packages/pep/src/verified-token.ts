import { createHash } from 'node:crypto';
import {
  type Capability,
  checkAudience,
  checkIssuer,
  readCapability,
  type TokenAlgorithm,
  TokenError,
  verifyCapabilitySignature,
} from '@remit/capability/token';
import type { TokenSubjects } from '@remit/contracts';
import { LRUCache } from 'lru-cache';
import type { IssuerKeys } from './issuer-keys.ts';

/** What a token's signature proves. Nothing of time, revocation, proof, scope or arguments. */
export type VerifiedToken = {
  readonly capability: Capability;
  readonly alg: TokenAlgorithm;
  readonly kid: string;
  readonly subjects: TokenSubjects;
};

export type TokenVerifier = {
  /** Verifies, from the cache when this exact text was verified before. Throws TokenError. */
  verify(token: string): Promise<VerifiedToken> | VerifiedToken;
  /** Drops what was signed with or bound to a key. */
  forgetKey(id: string): void;
  size(): number;
};

/**
 * Verifies tokens of one issuer for one audience (RFC 9068 section 4).
 *
 * The cache is keyed by the SHA-256 of the whole token text, holds only what the signature proves
 * and is bounded (`maxCached`, default 10,000). Whatever can change is checked on every call by
 * others: time, binding, revocation, scope. An unknown `kid` makes the issuer be asked once per
 * cool-down, then the token is refused.
 */
export function createTokenVerifier(options: {
  issuer: string;
  tenant: string;
  audience: string;
  algorithms: readonly TokenAlgorithm[];
  keys: IssuerKeys;
  maxCached?: number;
}): TokenVerifier {
  const cache = new LRUCache<string, VerifiedToken>({ max: options.maxCached ?? 10_000 });

  function verifyNow(token: string): VerifiedToken {
    const { header, payload } = verifyCapabilitySignature(token, {
      keys: options.keys.get,
      algorithms: options.algorithms,
    });
    const capability = readCapability(payload);
    checkIssuer(capability, options);
    checkAudience(capability, options.audience);
    return {
      capability,
      alg: header.alg,
      kid: header.kid,
      subjects: subjectsOf(capability, header.kid),
    };
  }

  async function verifyAfterRefresh(token: string): Promise<VerifiedToken> {
    await options.keys.refresh();
    return verifyNow(token);
  }

  return {
    verify(token) {
      const key = createHash('sha256').update(token).digest('base64url');
      // A key that its issuer withdrew takes its tokens with it.
      const known = cache.get(key);
      if (known && options.keys.get(known.kid)) return known;
      const remember = (verified: VerifiedToken) => {
        cache.set(key, verified);
        return verified;
      };
      try {
        return remember(verifyNow(token));
      } catch (cause) {
        if (!(cause instanceof TokenError) || cause.code !== 'KID_UNKNOWN') throw cause;
        return verifyAfterRefresh(token).then(remember);
      }
    },
    forgetKey(id) {
      for (const [key, { subjects }] of cache.entries()) {
        if (subjects.keys.includes(id)) cache.delete(key);
      }
    },
    size: () => cache.size,
  };
}

/** Everything of a token that a revocation can name. */
function subjectsOf(capability: Capability, kid: string): TokenSubjects {
  const { confirmation } = capability;
  const bound = confirmation && 'jkt' in confirmation ? [confirmation.jkt] : [];
  return {
    jti: capability.id,
    lineage: [...capability.lineage],
    rev: capability.rev,
    task: capability.task.id,
    actors: [...capability.actors],
    user: capability.subject,
    client: capability.clientId,
    keys: [kid, ...bound],
  };
}
