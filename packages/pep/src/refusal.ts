import { LINK_REASONS, LinkError } from '@remit/capability/link';
import { ScopeError } from '@remit/capability/scope';
import { TokenError, type TokenErrorCode } from '@remit/capability/token';
import type { Reason } from '@remit/contracts';
import type { Presented } from './presented.ts';

/** The reason that a refused token, proof or operation is recorded and answered with. */
const REASON_OF: Record<TokenErrorCode, Reason> = {
  ALG_NOT_ALLOWED: 'token_algorithm',
  AUDIENCE_MISMATCH: 'token_audience',
  CERTIFICATE_MISMATCH: 'proof_key',
  DPOP_BINDING_MISMATCH: 'proof_binding',
  DPOP_BODY_MISMATCH: 'proof_body',
  DPOP_EXPIRED: 'proof_expired',
  DPOP_INVALID: 'proof_invalid',
  DPOP_KEY_MISMATCH: 'proof_key',
  DPOP_NONCE_MISMATCH: 'proof_nonce',
  DPOP_REQUIRED: 'proof_required',
  HEADER_NOT_ALLOWED: 'token_malformed',
  ISSUER_MISMATCH: 'token_issuer',
  KEY_ALG_MISMATCH: 'token_algorithm',
  KEY_INVALID: 'token_key_unknown',
  KID_UNKNOWN: 'token_key_unknown',
  SIGNATURE_INVALID: 'token_signature',
  TENANT_MISMATCH: 'token_issuer',
  TOKEN_EXPIRED: 'token_expired',
  TOKEN_MALFORMED: 'token_malformed',
  TOKEN_NOT_YET_VALID: 'token_not_yet_valid',
  TOKEN_TOO_LARGE: 'token_too_large',
  TTL_TOO_LONG: 'token_lifetime',
  TYP_MISMATCH: 'token_malformed',
};

/** Maps what the capability package threw; anything unexpected is `internal`, which refuses too. */
export function reasonOf(cause: unknown): Reason {
  if (cause instanceof TokenError) return REASON_OF[cause.code];
  if (cause instanceof LinkError) return LINK_REASONS[cause.code];
  if (cause instanceof ScopeError) return 'arguments_invalid';
  return 'internal';
}

/** How a refusal is answered (RFC 6750 section 3.1, RFC 9449 section 7.1). */
export type RefusalAnswer = { status: 400 | 401 | 403 | 503; oauthError?: string };

/**
 * 401 when another or newer credential could help, 403 when the same token can't do this, 400 when
 * the call itself can't be read, 503 when nothing can be decided now.
 */
export function answerOf(reason: Reason): RefusalAnswer {
  switch (reason) {
    case 'token_missing':
      // RFC 6750 section 3.1: no error code when the call carried no credentials at all.
      return { status: 401 };
    case 'proof_required':
    case 'proof_invalid':
    case 'proof_key':
    case 'proof_binding':
    case 'proof_body':
    case 'proof_expired':
    case 'proof_replayed':
      return { status: 401, oauthError: 'invalid_dpop_proof' };
    case 'proof_nonce':
      return { status: 401, oauthError: 'use_dpop_nonce' };
    case 'arguments_invalid':
      return { status: 400 };
    case 'scope_action':
    case 'scope_resource':
    case 'scope_arguments':
    case 'scope_constraint':
    case 'agent_envelope':
    case 'agent_inactive':
    case 'user_entitlement':
    case 'user_inactive':
    case 'task_scope':
    case 'policy_forbid':
      return { status: 403, oauthError: 'insufficient_scope' };
    case 'policy_error':
    case 'approval_required':
    case 'step_up_required':
    case 'obligation_unfulfilled':
    case 'external_forbid':
    // 401 would invite a client to get another token and repeat by itself (RFC 6750 section 3.1). The
    // use may be spent by a call whose answer got lost: doing the work twice is for people to decide.
    case 'budget_exceeded':
    case 'budget_amount':
    case 'single_use_spent':
      return { status: 403 };
    case 'status_stale':
    case 'status_behind':
    case 'audit_unavailable':
    case 'pdp_unavailable':
    case 'external_unavailable':
    case 'proof_unavailable':
    case 'budget_unavailable':
    case 'single_use_unavailable':
    case 'overloaded':
    case 'internal':
      return { status: 503 };
    default:
      return { status: 401, oauthError: 'invalid_token' };
  }
}

/** What this audience takes, as challenges say it. */
export type Challenge = {
  /** Signatures of proofs. */
  algs: readonly string[];
  acceptBearer: boolean;
  /** Where the metadata of this audience is served, if it is (RFC 9728 section 5.1). */
  metadataUrl?: string | undefined;
};

/**
 * The `WWW-Authenticate` value of a refusal: with every 401, and with a 403 that another token could
 * change. One challenge for each scheme that this audience takes, the error at the one that was tried
 * (RFC 9449 sections 7.1 and 7.2, RFC 6750 section 3).
 */
export function challengeOf(
  reason: Reason,
  { authorization }: Pick<Presented, 'authorization'>,
  { algs, acceptBearer, metadataUrl }: Challenge,
): string | undefined {
  const { status, oauthError } = answerOf(reason);
  if (status !== 401 && oauthError !== 'insufficient_scope') return undefined;
  const triedBearer =
    acceptBearer && typeof authorization === 'string' && /^bearer /i.test(authorization);
  const challenge = (scheme: string, error: string | undefined, more: string[]) => {
    const params = [
      ...(error === undefined ? [] : [`error="${error}"`]),
      ...more,
      ...(metadataUrl === undefined ? [] : [`resource_metadata="${metadataUrl}"`]),
    ];
    return params.length === 0 ? scheme : `${scheme} ${params.join(', ')}`;
  };
  const dpop = challenge('DPoP', triedBearer ? undefined : oauthError, [
    `algs="${algs.join(' ')}"`,
  ]);
  if (!acceptBearer) return dpop;
  return `${dpop}, ${challenge('Bearer', triedBearer ? oauthError : undefined, [])}`;
}
