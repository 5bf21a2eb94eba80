import {
  type ProofAlgorithm,
  TokenError,
  type VerifiedProof,
  verifyProof,
} from '@remit/capability';
import { type AgentBody, type Reason, sha256 } from '@remit/contracts';
import { IssuerError } from '../error.ts';

/** Algorithms of DPoP proofs: `dpop_signing_alg_values_supported`. */
export const PROOF_ALGORITHMS: readonly ProofAlgorithm[] = ['ES256', 'Ed25519'];

export type ProofOptions = {
  /** The token endpoint as clients see it. */
  readonly url: string;
  readonly nowSeconds: number;
  /** Seconds that a proof's `iat` may be away from now. */
  readonly windowSeconds: number;
  /** Remembers a proof for ever after; false when it was remembered before. */
  readonly rememberProof: (proof: {
    jkt: string;
    jtiHash: string;
    expSeconds: number;
  }) => Promise<boolean>;
};

const REASONS: ReadonlyMap<string, Reason> = new Map([
  ['DPOP_BINDING_MISMATCH', 'proof_binding'],
  ['DPOP_EXPIRED', 'proof_expired'],
]);

/**
 * Verifies the DPoP proof of a token request and returns the thumbprint of its key (RFC 9449 section
 * 5). Checks all of section 4.3 for a POST to the token endpoint, and that the proof is new at every
 * replica: a proof is good once, and only within its window.
 * Returns undefined without a proof; whether that is allowed says {@link checkBinding}.
 * Throws IssuerError `PROOF_INVALID` (`invalid_dpop_proof`).
 */
export async function verifyTokenProof(
  proof: string | undefined,
  options: ProofOptions,
): Promise<string | undefined> {
  if (proof === undefined) return undefined;
  const { jkt, jti, iat } = verifySignature(proof, options);
  // A proof from the future stays good until its window has passed, counted from its own time.
  const expSeconds = iat + options.windowSeconds;
  if (await options.rememberProof({ jkt, jtiHash: sha256(jti), expSeconds })) return jkt;
  throw new IssuerError('PROOF_INVALID', 'The DPoP proof was used before.', {
    reason: 'proof_replayed',
  });
}

/**
 * Checks that a request without proof comes from an agent that the registry allows it (02, `cnf`).
 * Throws IssuerError `REQUEST_INVALID`.
 */
export function checkBinding(jkt: string | undefined, agent: AgentBody): void {
  if (jkt !== undefined || agent.bearer) return;
  throw new IssuerError('REQUEST_INVALID', 'A DPoP proof is required.', {
    reason: 'proof_required',
  });
}

function verifySignature(
  proof: string,
  { url, nowSeconds, windowSeconds }: ProofOptions,
): VerifiedProof {
  try {
    return verifyProof({
      proof,
      method: 'POST',
      url,
      nowSeconds,
      windowSeconds,
      algorithms: PROOF_ALGORITHMS,
    });
  } catch (cause) {
    if (!(cause instanceof TokenError)) throw cause;
    throw new IssuerError('PROOF_INVALID', `The DPoP proof is not acceptable: ${cause.message}.`, {
      reason: REASONS.get(cause.code) ?? 'proof_invalid',
      cause,
    });
  }
}
