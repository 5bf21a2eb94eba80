import { ContractError, isWireErrorCode, type WireErrorCode } from '@remit/contracts';
import { WireError } from './errors.ts';

/**
 * Codes of local errors that have a meaning to a caller. Everything that is not here is `INTERNAL`,
 * so a new local error is never told to the outside by accident.
 */
const LOCAL_CODES: Readonly<Record<string, WireErrorCode>> = Object.freeze(
  Object.assign(Object.create(null) as Record<string, WireErrorCode>, {
    // bus: the callee could not be asked or its answer was not believed
    CALL_TIMEOUT: 'UNAVAILABLE',
    CALL_UNAVAILABLE: 'UNAVAILABLE',
    CLOSED: 'UNAVAILABLE',
    DISCONNECTED: 'UNAVAILABLE',
    PUBLISH_FAILED: 'UNAVAILABLE',
    REPLY_INVALID: 'UNAVAILABLE',
    // recorder: nothing is allowed that cannot be recorded
    AUDIT_UNAVAILABLE: 'UNAVAILABLE',
    // service-kit
    IDP_UNAVAILABLE: 'UNAVAILABLE',
    BODY_INVALID: 'UNAVAILABLE',
  } satisfies Record<string, WireErrorCode>),
);

/**
 * PostgreSQL classes and node codes that mean "the database is not there, or has no time", not "the
 * query is wrong": 40 is a transaction that was undone for another's sake, 25006 a server that became
 * a standby.
 */
const DATABASE_AWAY =
  /^(08...|40...|53...|57P..|57014|55P03|25P03|25006|ECONN[A-Z]+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/;

/** What pg, pg-pool and kysely say without a code when a connection or the pool is gone. */
const CONNECTION_GONE: ReadonlySet<string> = new Set([
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Query read timeout',
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'Cannot use a pool after calling end on the pool',
  'driver has already been destroyed',
]);

/** Codes of Fastify's own refusals. Its messages are not sent. */
const FASTIFY_CODES: Readonly<Record<string, WireErrorCode>> = Object.freeze(
  Object.assign(Object.create(null) as Record<string, WireErrorCode>, {
    FST_ERR_VALIDATION: 'INVALID_REQUEST',
    FST_ERR_CTP_BODY_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
    FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
    FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'INVALID_REQUEST',
    FST_ERR_CTP_EMPTY_JSON_BODY: 'INVALID_REQUEST',
    FST_ERR_CTP_INVALID_JSON_BODY: 'INVALID_REQUEST',
    FST_ERR_BAD_URL: 'INVALID_REQUEST',
    FST_ERR_MAX_PARAM_LENGTH: 'NOT_FOUND',
  } satisfies Record<string, WireErrorCode>),
);

/**
 * Turns whatever was thrown into the one error that may be sent. A {@link WireError} stays itself;
 * a refusal that came back over the bus keeps its code; what is not in a table becomes `INTERNAL`
 * with the cause kept for the log.
 */
export function toWireError(error: unknown): WireError {
  if (error instanceof WireError) return error;
  const code = codeOf(error);
  const fastify = FASTIFY_CODES[code];
  if (fastify) return new WireError(fastify, { ...validationDetail(error), cause: error });
  if (error instanceof ContractError && code === 'SCHEMA_MISMATCH') {
    return new WireError('INTERNAL', { cause: error });
  }
  const remote = remoteCode(error);
  if (remote) return new WireError(remote, { cause: error });
  const local = LOCAL_CODES[code];
  if (local) return new WireError(local, { cause: error });
  const isGone = error instanceof Error && CONNECTION_GONE.has(error.message);
  if (DATABASE_AWAY.test(code) || isGone) {
    return new WireError('UNAVAILABLE', { cause: error });
  }
  return new WireError('INTERNAL', { cause: error });
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** BusError `CALL_REFUSED` carries the code that the callee answered with. */
function remoteCode(error: unknown): WireErrorCode | undefined {
  if (codeOf(error) !== 'CALL_REFUSED') return undefined;
  const details = (error as { details?: { code?: unknown } }).details;
  const code = details?.code;
  if (typeof code !== 'string' || !isWireErrorCode(code)) return 'UNAVAILABLE';
  return code === 'INTERNAL' ? 'UNAVAILABLE' : code;
}

type AjvLike = { instancePath?: string; message?: string; keyword?: string };

/** Path and rule of the first schema error; never the value. */
function validationDetail(error: unknown): { detail?: string } {
  const { validation, validationContext } = error as {
    validation?: readonly AjvLike[];
    validationContext?: string;
  };
  const first = validation?.[0];
  if (!first) return {};
  const where = validationContext === 'querystring' ? 'query' : (validationContext ?? 'request');
  return { detail: `${where}${first.instancePath ?? ''} ${first.message ?? 'is not valid'}` };
}
