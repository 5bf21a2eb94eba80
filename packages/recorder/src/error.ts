/** Codes of {@link RecorderError}. */
export type RecorderErrorCode =
  | 'AUDIT_UNAVAILABLE'
  | 'CLOSED'
  | 'OPTION_INVALID'
  | 'RECORD_INVALID'
  | 'SPOOL_IN_USE'
  | 'SPOOL_UNUSABLE';

/**
 * A record could not be kept; what it stands for must not happen. `details` is data for logs, never
 * a part of the record.
 */
export class RecorderError extends Error {
  override readonly name = 'RecorderError';
  readonly code: RecorderErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: RecorderErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}
