/** Codes of {@link PepError}. A refused call is not an error of the PEP: see {@link AccessDenied}. */
export type PepErrorCode = 'CONFIG_INVALID' | 'CLOSED' | 'TRUST_INVALID';

/** The PEP cannot be set up or used as it was asked to. `details` is data, never secrets. */
export class PepError extends Error {
  override readonly name = 'PepError';
  readonly code: PepErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: PepErrorCode,
    message: string,
    details: Record<string, unknown> = {},
    cause?: unknown,
  ) {
    super(message, { cause });
    this.code = code;
    this.details = details;
  }
}
