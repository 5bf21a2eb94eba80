import type { WireErrorCode } from '@remit/contracts';
import { type WireError, wireError } from '@remit/service-kit';
import type { IssuerError, IssuerErrorCode } from '../error.ts';

/**
 * What each refusal is to a client. A bad subject or actor token is `invalid_request`, never `invalid_grant`
 * (RFC 8693 section 2.2.2); what authorization details ask for and may not have is
 * `invalid_authorization_details` (RFC 9396 section 5), whichever dimension refused it.
 */
const WIRE_CODES: Readonly<Record<IssuerErrorCode, WireErrorCode>> = Object.freeze({
  ACTOR_TOKEN_INVALID: 'INVALID_GRANT_REQUEST',
  CLIENT_UNAUTHENTICATED: 'INVALID_CLIENT',
  CLIENT_UNAUTHORIZED: 'UNAUTHORIZED_CLIENT',
  CONFIG_INVALID: 'INTERNAL',
  DELEGATION_REFUSED: 'INVALID_GRANT_REQUEST',
  DETAILS_INVALID: 'INVALID_AUTHORIZATION_DETAILS',
  DETAILS_REFUSED: 'INVALID_AUTHORIZATION_DETAILS',
  GRANT_TYPE_UNSUPPORTED: 'UNSUPPORTED_GRANT_TYPE',
  INTERNAL: 'INTERNAL',
  PROOF_INVALID: 'INVALID_DPOP_PROOF',
  PROOF_NONCE_NEEDED: 'USE_DPOP_NONCE',
  REQUEST_INVALID: 'INVALID_GRANT_REQUEST',
  SCOPE_UNSUPPORTED: 'INVALID_SCOPE',
  SERVICE_UNAVAILABLE: 'UNAVAILABLE',
  SIGNING_KEY_UNUSABLE: 'INTERNAL',
  SUBJECT_TOKEN_INVALID: 'INVALID_GRANT_REQUEST',
  TARGET_INVALID: 'INVALID_TARGET',
  TENANT_UNKNOWN: 'TENANT_UNKNOWN',
});

/** Codes whose own sentence is enough: what failed inside is for the log. */
const SILENT: ReadonlySet<WireErrorCode> = new Set(['INTERNAL', 'UNAVAILABLE', 'TENANT_UNKNOWN']);

/**
 * A refusal as it is sent. To a client that proved who it is it adds why: the reason, the dimension,
 * the refused part of its own request, and the id of the record that says more to those who may read
 * it. A stranger gets code and sentence alone. Whether a person is unknown or disabled stands in the
 * record only: an agent that holds an ID token learns nothing about who is registered.
 */
export function toOAuthError(error: IssuerError, record: { id: string } | undefined): WireError {
  const code = WIRE_CODES[error.code];
  if (SILENT.has(code)) return wireError(code, { cause: error });
  const { reason, dimension, refused, nonce } = error.context;
  return wireError(code, {
    detail: error.message,
    cause: error,
    ...(nonce !== undefined && { headers: { 'dpop-nonce': nonce } }),
    ...(record && {
      extra: {
        reason: reason === 'user_unknown' ? 'user_inactive' : reason,
        ...(dimension && { dimension }),
        ...(refused && { refused }),
        record_id: record.id,
      },
    }),
  });
}
