/** Codes of {@link CliError}; each message says what happened, why, and what to do. */
export type CliErrorCode =
  | 'DEV_FILE_MISSING'
  | 'NOT_FOUND'
  | 'REFUSED'
  | 'SIGN_IN_FAILED'
  | 'UNREACHABLE'
  | 'USAGE';

/** Something a person at a terminal can act on: printed as one sentence, exit code 1 (usage: 2). */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;

  constructor(code: CliErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
