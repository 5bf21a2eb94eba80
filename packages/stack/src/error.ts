/** Codes of {@link StackError}: what keeps the embedded stack from running. */
export type StackErrorCode =
  | 'BINARY_UNAVAILABLE'
  | 'CONFIG_INVALID'
  | 'DISK_FULL'
  | 'GENERATOR_FAILED'
  | 'MIGRATION_FAILED'
  | 'NATS_SERVER_TOO_OLD'
  | 'NOT_READY'
  | 'PORT_TAKEN'
  | 'PROCESS_EXITED';

/**
 * The stack cannot run. The message is one plain sentence with the way out, fit to be shown to the
 * person at the terminal as it is; `details` is data for logs, never secrets.
 */
export class StackError extends Error {
  override readonly name = 'StackError';
  readonly code: StackErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: StackErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}
