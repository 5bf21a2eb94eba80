import {
  type Capability,
  type ChainLink,
  checkIssuer,
  checkTimes,
  LINK_REASONS,
  LinkError,
  type ProofAlgorithm,
  readCapability,
  splitChain,
  type TokenAlgorithm,
  TokenError,
  type TokenErrorCode,
  type VerifyKey,
  verifyCapabilitySignature,
  verifyChain,
} from '@remit/capability';
import type { Reason, TokenSubjects } from '@remit/contracts';
import type { IssuerDeps } from '../deps.ts';
import { IssuerError } from '../error.ts';
import { issuerUrl } from '../metadata.ts';

const ALGORITHMS: readonly TokenAlgorithm[] = ['ML-DSA-65', 'ML-DSA-44', 'Ed25519'];
/** Links are signed by the keys that proofs are made with. */
const LINK_ALGORITHMS: readonly ProofAlgorithm[] = ['ES256', 'Ed25519'];

/** Refusals with a reason of their own; the others are a malformed token. */
const REASONS: ReadonlyMap<TokenErrorCode, Reason> = new Map([
  ['ALG_NOT_ALLOWED', 'token_algorithm'],
  ['ISSUER_MISMATCH', 'token_issuer'],
  ['KEY_ALG_MISMATCH', 'token_algorithm'],
  ['KID_UNKNOWN', 'token_key_unknown'],
  ['SIGNATURE_INVALID', 'token_signature'],
  ['TENANT_MISMATCH', 'token_issuer'],
  ['TOKEN_EXPIRED', 'token_expired'],
  ['TOKEN_NOT_YET_VALID', 'token_not_yet_valid'],
  ['TOKEN_TOO_LARGE', 'token_too_large'],
  ['TTL_TOO_LONG', 'token_lifetime'],
]);

/**
 * A capability token that was presented, perhaps with links behind it. `kid` names the key that the
 * token is signed with.
 */
export type HeldToken = {
  readonly text: string;
  /** What token and links say together. */
  readonly capability: Capability;
  /** Offline hops, oldest first; none for a token alone. */
  readonly links: readonly ChainLink[];
  readonly kid: string;
  /** The key that the token itself is bound to; undefined for bearer. */
  readonly rootJkt: string | undefined;
};

/**
 * Verifies a capability token that comes back as subject token (RFC 8693 section 2.1).
 * Checks the signature with the keys that this tenant's issuer publishes, every claim, and that
 * issuer and tenant are these; of a chain also every link, by the rules that an enforcement point
 * applies (02, Handing on offline). Does not check the time, who presents it or the revocations:
 * {@link checkHolder}, the proof and the head are next.
 * Throws IssuerError `SUBJECT_TOKEN_INVALID` (`invalid_request`, RFC 8693 section 2.2.2).
 */
export function verifyHeldToken(
  text: string,
  options: {
    issuer: string;
    tenant: string;
    keys: (kid: string) => VerifyKey | undefined;
  },
): HeldToken {
  const { issuer, tenant, keys } = options;
  return judged(() => {
    const { token, links } = splitChain(text);
    const { header, payload } = verifyCapabilitySignature(token, { keys, algorithms: ALGORITHMS });
    const capability = readCapability(payload);
    checkIssuer(capability, { issuer, tenant });
    const root = { text, kid: header.kid, rootJkt: jktOf(capability) };
    if (links.length === 0) return { ...root, capability, links: [] };
    return { ...root, ...verifyChain(capability, text, { algorithms: LINK_ALGORITHMS }) };
  });
}

/** The token that a text is, as {@link verifyHeldToken} reads it; undefined for any other text. */
export function findHeldToken(
  deps: Pick<IssuerDeps, 'publicUrl' | 'tokenKeys'>,
  tenant: string,
  text: string,
): HeldToken | undefined {
  try {
    return verifyHeldToken(text, {
      issuer: issuerUrl(deps.publicUrl, tenant),
      tenant,
      keys: (kid) => deps.tokenKeys.verifyKey(tenant, kid),
    });
  } catch (error) {
    if (error instanceof IssuerError && error.code === 'SUBJECT_TOKEN_INVALID') return undefined;
    throw error;
  }
}

/**
 * Checks that a token lives and that the client is its outermost actor: a holder passes on what is
 * its own, nobody else does it for it (02, Delegation at the issuer).
 * Throws IssuerError `SUBJECT_TOKEN_INVALID`.
 */
export function checkHolder({ capability }: HeldToken, client: string, nowSeconds: number): void {
  if (capability.actors.at(-1) !== client) {
    throw new IssuerError(
      'SUBJECT_TOKEN_INVALID',
      'The subject token was issued to another agent.',
      { reason: 'holder_mismatch' },
    );
  }
  judged(() => checkTimes(capability, nowSeconds));
}

/** The thumbprint of the key that a token is bound to; undefined for bearer. */
export function jktOf({ confirmation }: Pick<Capability, 'confirmation'>): string | undefined {
  return confirmation && 'jkt' in confirmation ? confirmation.jkt : undefined;
}

/** What of a presented token a revocation could name. */
export function subjectsOf({ capability, links, kid, rootJkt }: HeldToken): TokenSubjects {
  const keys = [rootJkt, kid, ...links.map(({ jkt }) => jkt)];
  return {
    jti: capability.id,
    lineage: [...capability.lineage],
    rev: capability.rev,
    task: capability.task.id,
    actors: [...capability.actors],
    user: capability.subject,
    client: capability.clientId,
    keys: [...new Set(keys.filter((key) => key !== undefined))],
  };
}

function judged<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof LinkError) {
      throw new IssuerError(
        'SUBJECT_TOKEN_INVALID',
        `The subject token is not acceptable: ${cause.message}.`,
        { reason: LINK_REASONS[cause.code], cause },
      );
    }
    if (!(cause instanceof TokenError)) throw cause;
    throw new IssuerError(
      'SUBJECT_TOKEN_INVALID',
      `The subject token is not acceptable: ${cause.message}.`,
      { reason: REASONS.get(cause.code) ?? 'token_malformed', cause },
    );
  }
}
