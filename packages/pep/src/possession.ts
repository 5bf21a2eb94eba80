import {
  type Capability,
  checkBinding,
  type ProofAlgorithm,
  type ProofKeyCache,
  verifyProof,
} from '@remit/capability/token';
import type { Reason } from '@remit/contracts';
import type { Nonces } from './nonces.ts';
import type { Credentials, Presented } from './presented.ts';
import { reasonOf } from './refusal.ts';
import type { ReplayMemory } from './replay.ts';
import type { SharedProofs } from './shared-proofs.ts';

/** Whether the caller holds the token's key. `nonce` is the one of this instance that was proved with. */
export type Proved = { refused?: Reason; nonce?: string };

export type Possession = {
  /** Never throws; anything but an answer without `refused` refuses the call. */
  prove(
    presented: Presented,
    credentials: Credentials,
    capability: Capability,
    nowSeconds: number,
    /** `accessTokenHash` of the token with its links. */
    tokenHash: string,
  ): Proved | Promise<Proved>;
  /** The nonce to make the next proof with, where proofs need one and `used` is not it. */
  nextNonce(used: string | undefined): string | undefined;
};

/**
 * Checks possession (RFC 9449 section 7.1): a bound token comes under DPoP with a fresh proof of its
 * key, an unbound one under Bearer and only where `acceptBearer` says so. A proof is taken once: `memory`
 * sees to that here; `nonces` bind it to this instance, `shared` remembers it for all of them.
 * Where the call gives its body the proof must be for it. Does not look at time, revocation or scope.
 */
export function createPossession(options: {
  algorithms: readonly ProofAlgorithm[];
  windowSeconds: number;
  acceptBearer: boolean;
  memory: ReplayMemory;
  nonces?: Nonces | undefined;
  shared?: SharedProofs | undefined;
  /** Imported keys of holders by thumbprint: public, so that losing one costs time alone. */
  keyCache: ProofKeyCache;
}): Possession {
  const { algorithms, windowSeconds, acceptBearer, memory, nonces, shared, keyCache } = options;

  function proveNow(
    { method, url, body }: Presented & { body?: Uint8Array | undefined },
    proof: string,
    capability: Capability,
    nowSeconds: number,
    ath: string,
  ): Proved & { key?: string } {
    try {
      const { confirmation } = capability;
      const proved = verifyProof({
        proof,
        jkt: confirmation && 'jkt' in confirmation ? confirmation.jkt : undefined,
        ath,
        method,
        url: hasDotSegment(url) ? '' : url,
        nonce: nonces?.accepted(),
        body,
        nowSeconds,
        windowSeconds,
        algorithms,
        keyCache,
      });
      checkBinding(capability, { jkt: proved.jkt });
      const key = `${proved.jkt}.${proved.jti}`;
      const claim = memory.claim(key, nowSeconds);
      if (claim !== 'fresh') return { refused: claim === 'full' ? 'overloaded' : 'proof_replayed' };
      return { key, ...(proved.nonce === undefined ? {} : { nonce: proved.nonce }) };
    } catch (cause) {
      return { refused: reasonOf(cause) };
    }
  }

  return {
    prove(presented, { scheme, proof }, capability, nowSeconds, tokenHash) {
      const bound = capability.confirmation !== undefined;
      if (bound !== (scheme === 'DPoP')) return { refused: 'proof_scheme' };
      const { body } = presented;
      if (!bound) return acceptBearer && !body ? {} : { refused: 'token_unbound' };
      if (proof === undefined) return { refused: 'proof_required' };
      if (body === 'unread') return { refused: 'proof_body' };
      const given = { ...presented, body };
      const { key, ...proved } = proveNow(given, proof, capability, nowSeconds, tokenHash);
      if (!shared || key === undefined) return proved;
      return shared
        .claim(key)
        .then((refused) => (refused === undefined ? proved : { ...proved, refused }));
    },
    nextNonce(used) {
      const current = nonces?.current();
      return current === used ? undefined : current;
    },
  };
}

/**
 * A path with a dot segment names another resource to whoever repairs it: the normalised URL of the
 * proof (RFC 9449 section 4.3) would fit a path that the server routes elsewhere.
 */
function hasDotSegment(url: string): boolean {
  return /\/(?:\.|%2e){1,2}(?=[/?#]|$)/i.test(url);
}
