export type RevocationViewErrorCode = 'OPTION_INVALID' | 'SNAPSHOT_INCOMPLETE';

/** Wrong use of the view by its caller. What the network does is never an error here. */
export class RevocationViewError extends Error {
  override readonly name = 'RevocationViewError';
  readonly code: RevocationViewErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: RevocationViewErrorCode,
    message: string,
    details: Record<string, unknown> = {},
  ) {
    super(message);
    this.code = code;
    this.details = details;
  }
}
