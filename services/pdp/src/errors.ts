/** Codes of {@link PdpError}. */
export type PdpErrorCode =
  /** What a policy would have to read cannot be given to Cedar, or Cedar could not answer. */
  | 'POLICY_ERROR'
  /** An uploaded policy set is not acceptable; `details.problems` says where and why. */
  | 'POLICY_INVALID'
  | 'POLICY_VERSION_UNKNOWN'
  /** Another version is active than the request says. */
  | 'POLICY_NOT_ACTIVE'
  /** A recorded decision cannot be decided again; the message says why. */
  | 'NOT_REPLAYABLE'
  /** A task type cannot be instantiated with the slots given. */
  | 'SLOT_INVALID'
  /** An envelope is not what the registry's pinned key signed for this agent. */
  | 'ENVELOPE_INVALID'
  /** A scope or body from the registry cannot be read. */
  | 'REGISTRY_DATA_INVALID'
  /** The file about AuthZEN clients and decision points cannot be used. */
  | 'EXTERNAL_CONFIG_INVALID'
  /** A tenant's own decision point gave no answer that can be believed; `message` says why. */
  | 'EXTERNAL_UNAVAILABLE';

/** What goes wrong inside the pdp. `details` is data for logs and answers to administrators, never secrets. */
export class PdpError extends Error {
  override readonly name = 'PdpError';
  readonly code: PdpErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: PdpErrorCode,
    message: string,
    details: Record<string, unknown> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}
