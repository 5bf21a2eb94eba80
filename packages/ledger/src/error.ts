/** Codes of {@link LedgerError}. */
export type LedgerErrorCode =
  | 'CHECKPOINT_MALFORMED'
  | 'CHECKPOINT_ORIGIN'
  | 'EDGE_MALFORMED'
  | 'EXPORT_MALFORMED'
  | 'HASH_MALFORMED'
  | 'KEY_UNSUPPORTED'
  | 'NOTE_MALFORMED'
  | 'NOTE_SIGNATURE_INVALID'
  | 'NOTE_UNSIGNED'
  | 'RANGE_INVALID'
  | 'READER_INCOMPLETE'
  | 'VKEY_MALFORMED';

/** A tree, a proof, a note or a key that is not what it must be. `details` is data, never secrets. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError';
  readonly code: LedgerErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: LedgerErrorCode, message: string, details: Record<string, unknown> = {}) {
    super(message, details['cause'] === undefined ? undefined : { cause: details['cause'] });
    this.code = code;
    this.details = details;
  }
}
