/** Codes of {@link AuditError}. */
export type AuditErrorCode =
  | 'ANCHOR_FAILED'
  | 'CHECKPOINT_BEHIND'
  | 'CHECKPOINT_FILE_INVALID'
  | 'CHECKPOINT_FORK'
  | 'CHECKPOINT_KEY_INVALID'
  | 'VALUE_POLICY_INVALID';

/** A local error of the audit service. `details` is data for logs, never a personal value. */
export class AuditError extends Error {
  override readonly name = 'AuditError';
  readonly code: AuditErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: AuditErrorCode,
    message: string,
    details: Record<string, unknown> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}
