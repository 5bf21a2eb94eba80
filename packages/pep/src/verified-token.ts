import {
  type ChainLink,
  type ChainOptions,
  LinkError,
  splitChain,
  verifyChain,
} from '@remit/capability/link';
import {
  accessTokenHash,
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

/**
 * What the signatures of a token and of its links prove. Nothing of time, revocation, proof, scope or
 * arguments.
 */
export type VerifiedToken = {
  /** What token and links say together. */
  readonly capability: Capability;
  /** Offline hops, oldest first; none for a token alone. */
  readonly links: readonly ChainLink[];
  readonly alg: TokenAlgorithm;
  readonly kid: string;
  readonly subjects: TokenSubjects;
};

export type TokenVerifier = {
  /**
   * Verifies, from the cache when this exact text was verified before. `hash` is its `accessTokenHash`,
   * for whoever has it already. Throws TokenError.
   */
  verify(token: string, hash?: string): Promise<VerifiedToken> | VerifiedToken;
  /** Drops what was signed with or bound to a key. */
  forgetKey(id: string): void;
  size(): number;
};

/**
 * Verifies tokens of one issuer for one audience (RFC 9068 section 4), and chains of links behind them.
 *
 * The cache is keyed by the SHA-256 of the whole token text, holds only what the signature proves
 * and is bounded (`maxCached`, default 10,000). Whatever can change is checked on every call by
 * others: time, binding, revocation, scope. The token of a chain has an entry of its own, so that a new
 * link costs its own signatures alone. An unknown `kid` makes the issuer be asked once per
 * cool-down, then the token is refused.
 */
export function createTokenVerifier(options: {
  issuer: string;
  tenant: string;
  audience: string;
  algorithms: readonly TokenAlgorithm[];
  keys: IssuerKeys;
  /** How links are read. Left out, no chain is taken, as whoever follows no revocations must. */
  links?: ChainOptions;
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
      links: [],
      subjects: subjectsOf(capability, header.kid),
    };
  }

  function verifyLinks(text: string, root: VerifiedToken): VerifiedToken {
    const { links: how } = options;
    if (!how) throw new LinkError('LINKS_NOT_ALLOWED', 'chains are not taken here');
    const { capability, links } = verifyChain(root.capability, text, how);
    const keys = links.map(({ jkt }) => jkt);
    const { subjects } = root;
    return {
      ...root,
      capability,
      links,
      subjects: {
        ...subjects,
        jti: capability.id,
        lineage: [...capability.lineage],
        actors: [...capability.actors],
        keys: [...new Set([...subjects.keys, ...keys])],
      },
    };
  }

  async function verifyAfterRefresh(token: string): Promise<VerifiedToken> {
    await options.keys.refresh();
    return verifyNow(token);
  }

  const verifier: TokenVerifier = {
    verify(token, key = accessTokenHash(token)) {
      // A key that its issuer withdrew takes its tokens with it.
      const known = cache.get(key);
      if (known && options.keys.get(known.kid)) return known;
      // Looked at once: a text of this hash that was taken before had no other characters.
      if (!/^[\w.~-]+$/.test(token)) {
        throw new TokenError('TOKEN_MALFORMED', 'the text is not one token with its links');
      }
      const remember = (verified: VerifiedToken) => {
        cache.set(key, verified);
        return verified;
      };
      if (token.includes('~')) {
        const root = verifier.verify(splitChain(token).token);
        const behind = (verified: VerifiedToken) => remember(verifyLinks(token, verified));
        return root instanceof Promise ? root.then(behind) : behind(root);
      }
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
  return verifier;
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
