/** Codes of {@link AgentError}. */
export type AgentErrorCode =
  | 'HAND_ON_REFUSED'
  | 'ISSUER_MISMATCH'
  | 'METADATA_INVALID'
  | 'OPTION_INVALID'
  | 'REFUSED'
  | 'RESPONSE_INVALID'
  | 'UNREACHABLE'
  | 'WRONG_ORIGIN';

/**
 * What an issuer said when it refused: its OAuth error and, where the request itself was judged, the
 * dimension and the part of it that was too much. Never a bound, a policy or somebody else's scope.
 */
export type Refusal = {
  readonly status: number;
  readonly error: string;
  readonly description?: string;
  readonly reason?: string;
  readonly dimension?: string;
  readonly refused?: {
    readonly permission?: number;
    readonly slot?: string;
    readonly path?: string;
  };
  /** The record of the refusal, for whoever may read the ledger. */
  readonly recordId?: string;
};

/**
 * The SDK could not do what it was asked. `refusal` is set with `REFUSED` alone; `details` is data
 * for logs. Neither ever holds a token, a proof, an assertion or a key.
 */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;
  readonly refusal: Refusal | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: AgentErrorCode,
    message: string,
    options: { refusal?: Refusal; details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.refusal = options.refusal;
    this.details = options.details ?? {};
  }
}
