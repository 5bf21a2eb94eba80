/** Codes of {@link ContractError}: input that breaks a shared contract. */
export type ContractErrorCode =
  | 'ID_INVALID'
  | 'JSON_DUPLICATE_KEY'
  | 'JSON_MALFORMED'
  | 'JSON_TOO_DEEP'
  | 'JSON_TOO_LARGE'
  | 'NOT_CANONICAL'
  | 'SCHEMA_MISMATCH'
  | 'SUBJECT_INVALID';

/** A value does not follow a contract. `details` is data for logs, never secrets. */
export class ContractError extends Error {
  override readonly name = 'ContractError';
  readonly code: ContractErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ContractErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}
