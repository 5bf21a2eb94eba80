/** Codes of {@link RegistryError}. */
export type RegistryErrorCode = 'LOAD_INVALID' | 'SIGNER_UNPINNED';

/** The registry cannot do what it was told. `details` is data for logs, never secrets. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: RegistryErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}
