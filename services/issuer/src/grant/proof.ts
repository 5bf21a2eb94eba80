import {
  type ProofAlgorithm,
  type ProofOptions,
  TokenError,
  type VerifiedProof,
  verifyProof,
} from '@remit/capability';
import { type AgentBody, type Reason, sha256 } from '@remit/contracts';
import { decodeJwt } from 'jose';
import type { IssuerDeps } from '../deps.ts';
import { IssuerError } from '../error.ts';
import { issuerUrl } from '../metadata.ts';
import { nowSeconds, type Session } from './session.ts';
import { type HeldToken, jktOf } from './subject-token.ts';

/** Algorithms of DPoP proofs: `dpop_signing_alg_values_supported`. */
export const PROOF_ALGORITHMS: readonly ProofAlgorithm[] = ['ES256', 'Ed25519'];

const REASONS: ReadonlyMap<string, Reason> = new Map([
  ['DPOP_BINDING_MISMATCH', 'proof_binding'],
  ['DPOP_EXPIRED', 'proof_expired'],
  ['DPOP_KEY_MISMATCH', 'proof_key'],
  ['DPOP_NONCE_MISMATCH', 'proof_nonce'],
]);

/**
 * Asks for a nonce where a proof has none that is good (RFC 9449 section 8): before anything else is
 * looked at, so that the request that is repeated uses nothing up. Returns the nonce that the proof
 * claims to carry; {@link verifyTokenProof} holds its signature to it. Undefined where no nonce is
 * needed, without a proof, and for a proof that cannot be read, which is refused later.
 * Throws IssuerError `PROOF_NONCE_NEEDED` (`use_dpop_nonce`).
 */
export async function requireNonce(
  deps: Pick<IssuerDeps, 'clock' | 'nonces'>,
  { tenant, proof }: Pick<Session, 'proof' | 'tenant'>,
): Promise<string | undefined> {
  if (deps.nonces === undefined || proof === undefined) return undefined;
  const claims = readClaims(proof);
  if (claims === undefined) return undefined;
  const now = nowSeconds(deps);
  const { nonce } = claims;
  if (typeof nonce === 'string' && (await deps.nonces.accepts(tenant, nonce, now))) return nonce;
  throw new IssuerError('PROOF_NONCE_NEEDED', 'The DPoP proof needs a nonce of this issuer.', {
    reason: 'proof_nonce',
    nonce: await deps.nonces.issue(tenant, now),
  });
}

/** The claims of a JWT, unverified; undefined for anything else. */
function readClaims(jwt: string): { nonce?: unknown } | undefined {
  try {
    return decodeJwt<{ nonce?: unknown }>(jwt);
  } catch {
    return undefined;
  }
}

type Proving = Pick<Session, 'deps' | 'nonce' | 'proof' | 'tenant'>;

/**
 * Verifies the DPoP proof of a token request and returns the thumbprint of its key (RFC 9449 section
 * 5). Checks all of section 4.3 for a POST to the token endpoint, and that the proof is new at every
 * replica: a proof is good once, and only within its window. `held` is a token that the proof has to
 * name (`ath`) and its key.
 * Returns undefined without a proof; whether that is allowed says {@link checkBinding}.
 * Throws IssuerError `PROOF_INVALID` (`invalid_dpop_proof`).
 */
async function verifyTokenProof(
  session: Proving,
  held?: { token: string; jkt: string },
): Promise<string | undefined> {
  const verified = openTokenProof(session, held);
  if (verified) await rememberTokenProof(session, verified);
  return verified?.jkt;
}

/** What {@link verifyTokenProof} checks, but for whether the proof is new: {@link rememberTokenProof}. */
export function openTokenProof(
  { deps, tenant, proof, nonce }: Proving,
  held?: { token: string; jkt: string },
): VerifiedProof | undefined {
  if (proof === undefined) return undefined;
  return verifySignature({
    proof,
    method: 'POST',
    url: `${issuerUrl(deps.publicUrl, tenant)}/token`,
    nowSeconds: nowSeconds(deps),
    windowSeconds: deps.proofWindowSeconds,
    algorithms: PROOF_ALGORITHMS,
    keyCache: deps.proofKeys,
    // Without the one that was looked at there is none that would do.
    ...(deps.nonces !== undefined && { nonce: nonce ?? [] }),
    ...(held && { accessToken: held.token, jkt: held.jkt }),
  });
}

/** Takes a proof once. Throws IssuerError `PROOF_INVALID` when it was used before. */
export async function rememberTokenProof(
  { deps, tenant }: Pick<Proving, 'deps' | 'tenant'>,
  { jkt, jti, iat }: VerifiedProof,
): Promise<void> {
  // A proof from the future stays good until its window has passed, counted from its own time.
  const expSeconds = iat + deps.proofWindowSeconds;
  if (await deps.replay.rememberProof(tenant, { jkt, jtiHash: sha256(jti), expSeconds })) return;
  throw new IssuerError('PROOF_INVALID', 'The DPoP proof was used before.', {
    reason: 'proof_replayed',
  });
}

/**
 * Checks that the client has the key that its token is bound to (RFC 9449 section 7.1: `ath` and the
 * same key), so that a stolen token can be neither handed on nor renewed. A token that is bound to
 * none has nothing to prove, and a proof beside it would not say what it seems to.
 * Returns the thumbprint of the key. Throws IssuerError `PROOF_INVALID` or `REQUEST_INVALID`.
 */
export async function verifyHolderProof(
  session: Session,
  { text, capability }: HeldToken,
): Promise<string | undefined> {
  const jkt = jktOf(capability);
  if (jkt !== undefined) {
    const proved = await verifyTokenProof(session, { token: text, jkt });
    if (proved === undefined) throw proofRequired();
    return proved;
  }
  if (capability.confirmation !== undefined) {
    throw new IssuerError('PROOF_INVALID', 'The subject token is bound to another kind of key.', {
      reason: 'proof_key',
    });
  }
  if (session.proof === undefined) return undefined;
  throw new IssuerError('PROOF_INVALID', 'The subject token is bound to no key.', {
    reason: 'proof_scheme',
  });
}

/**
 * Checks that a request without proof comes from an agent that the registry allows it (02, `cnf`).
 * Throws IssuerError `REQUEST_INVALID`.
 */
export function checkBinding(jkt: string | undefined, agent: AgentBody): void {
  if (jkt !== undefined || agent.bearer) return;
  throw proofRequired();
}

function proofRequired(): IssuerError {
  return new IssuerError('REQUEST_INVALID', 'A DPoP proof is required.', {
    reason: 'proof_required',
  });
}

function verifySignature(options: ProofOptions): VerifiedProof {
  try {
    return verifyProof(options);
  } catch (cause) {
    if (!(cause instanceof TokenError)) throw cause;
    throw new IssuerError('PROOF_INVALID', `The DPoP proof is not acceptable: ${cause.message}.`, {
      reason: REASONS.get(cause.code) ?? 'proof_invalid',
      cause,
    });
  }
}
