export type TokenErrorCode =
  | 'ALG_NOT_ALLOWED'
  | 'AUDIENCE_MISMATCH'
  | 'CERTIFICATE_MISMATCH'
  | 'DPOP_BINDING_MISMATCH'
  | 'DPOP_BODY_MISMATCH'
  | 'DPOP_EXPIRED'
  | 'DPOP_INVALID'
  | 'DPOP_KEY_MISMATCH'
  | 'DPOP_NONCE_MISMATCH'
  | 'DPOP_REQUIRED'
  | 'HEADER_NOT_ALLOWED'
  | 'ISSUER_MISMATCH'
  | 'KEY_ALG_MISMATCH'
  | 'KEY_INVALID'
  | 'KID_UNKNOWN'
  | 'SIGNATURE_INVALID'
  | 'TENANT_MISMATCH'
  | 'TOKEN_EXPIRED'
  | 'TOKEN_MALFORMED'
  | 'TOKEN_NOT_YET_VALID'
  | 'TOKEN_TOO_LARGE'
  | 'TTL_TOO_LONG'
  | 'TYP_MISMATCH';

/** What was compared. Never a token, a proof or a key. */
export interface TokenErrorContext {
  readonly claim?: string;
  readonly header?: string;
  readonly kid?: string;
}

/** What `token/` throws. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly code: TokenErrorCode;
  readonly context: TokenErrorContext;

  constructor(
    code: TokenErrorCode,
    message: string,
    context: TokenErrorContext = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
  }
}
