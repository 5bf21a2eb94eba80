import { WIRE_ERRORS, type WireErrorCode } from '@remit/contracts';

/** How one wire error is said over HTTP and to OAuth clients. Over the bus it is its own code. */
export type WireMapping = { readonly status: number; readonly oauth: string };

/**
 * The one table from a wire error code to its HTTP status and its OAuth error (RFC 6749 section
 * 5.2, RFC 8707, RFC 9396, RFC 9449). A NATS reply carries the code itself and the code's sentence.
 */
export const WIRE_MAPPINGS: Readonly<Record<WireErrorCode, WireMapping>> = Object.freeze({
  INVALID_REQUEST: { status: 400, oauth: 'invalid_request' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, oauth: 'invalid_request' },
  PAYLOAD_TOO_LARGE: { status: 413, oauth: 'invalid_request' },
  METHOD_NOT_ALLOWED: { status: 405, oauth: 'invalid_request' },
  NOT_FOUND: { status: 404, oauth: 'invalid_request' },
  TENANT_UNKNOWN: { status: 404, oauth: 'invalid_request' },
  UNAUTHENTICATED: { status: 401, oauth: 'invalid_token' },
  FORBIDDEN: { status: 403, oauth: 'access_denied' },
  CONFLICT: { status: 409, oauth: 'invalid_request' },
  INVALID_CLIENT: { status: 401, oauth: 'invalid_client' },
  INVALID_GRANT_REQUEST: { status: 400, oauth: 'invalid_request' },
  UNSUPPORTED_GRANT_TYPE: { status: 400, oauth: 'unsupported_grant_type' },
  INVALID_TARGET: { status: 400, oauth: 'invalid_target' },
  INVALID_SCOPE: { status: 400, oauth: 'invalid_scope' },
  INVALID_AUTHORIZATION_DETAILS: { status: 400, oauth: 'invalid_authorization_details' },
  INVALID_DPOP_PROOF: { status: 400, oauth: 'invalid_dpop_proof' },
  USE_DPOP_NONCE: { status: 400, oauth: 'use_dpop_nonce' },
  UNAUTHORIZED_CLIENT: { status: 400, oauth: 'unauthorized_client' },
  ACCESS_DENIED: { status: 403, oauth: 'access_denied' },
  POLICY_INVALID: { status: 422, oauth: 'invalid_request' },
  UNAVAILABLE: { status: 503, oauth: 'temporarily_unavailable' },
  OVERLOADED: { status: 503, oauth: 'temporarily_unavailable' },
  INTERNAL: { status: 500, oauth: 'server_error' },
});

/** What may accompany a {@link WireError}. */
export type WireErrorOptions = {
  /** One safe sentence in place of the code's own. It is sent, so no value of the request. */
  detail?: string;
  /** Kept for the log, never sent. */
  cause?: unknown;
  /** Response headers that belong to the refusal, e.g. `www-authenticate`. */
  headers?: Readonly<Record<string, string>>;
  /** Members added to a problem or OAuth error body. They are sent. */
  extra?: Readonly<Record<string, unknown>>;
};

/** An error that may cross a wire: a code and one safe sentence, nothing else of what happened. */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly code: WireErrorCode;
  /** What the bus answers with; see `Bus.serve`. */
  readonly wireCode: WireErrorCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: WireErrorCode, options: WireErrorOptions = {}) {
    super(
      options.detail ?? WIRE_ERRORS[code],
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.code = code;
    this.wireCode = code;
    this.headers = options.headers ?? {};
    this.extra = options.extra ?? {};
  }
}

/** Makes a {@link WireError}; handlers `throw wireError('FORBIDDEN')`. */
export function wireError(code: WireErrorCode, options: WireErrorOptions = {}): WireError {
  return new WireError(code, options);
}

/** Codes of {@link ServiceError}: what fails inside a service, never sent. */
export type ServiceErrorCode =
  | 'BODY_INVALID'
  | 'CONFIG_INVALID'
  | 'DATABASE_UNSAFE'
  | 'IDP_TOKEN_INVALID'
  | 'IDP_UNAVAILABLE'
  | 'KEY_FILE_INVALID'
  | 'MIGRATION_FAILED'
  | 'MIGRATION_UNSAFE';

/** A local error of the service kit. `details` is data for logs, never secrets. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ServiceErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ServiceErrorCode,
    message: string,
    details: Record<string, unknown> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.details = details;
  }
}
