/** Codes of {@link BusError}. */
export type BusErrorCode =
  | 'CALL_REFUSED'
  | 'CALL_TIMEOUT'
  | 'CALL_UNAVAILABLE'
  | 'CLOSED'
  | 'CONNECT_FAILED'
  | 'CONSUMER_MISMATCH'
  | 'DISCONNECTED'
  | 'EVENT_SIGNATURE_INVALID'
  | 'EVENT_TYPE_MISMATCH'
  | 'HANDLER_FAILED'
  | 'KEY_INVALID'
  | 'OPTION_INVALID'
  | 'PAYLOAD_TOO_LARGE'
  | 'PERMISSION_DENIED'
  | 'PUBLISH_FAILED'
  | 'REPLY_INVALID'
  | 'REPLY_SUBJECT_REFUSED'
  | 'REQUEST_INVALID'
  | 'SERVER_TOO_OLD'
  | 'STREAM_MISMATCH'
  | 'STREAM_UNAVAILABLE';

/** Something on the bus failed. `details` is data for logs, never a payload or a secret. */
export class BusError extends Error {
  override readonly name = 'BusError';
  readonly code: BusErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: BusErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}
