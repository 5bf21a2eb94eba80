import { WIRE_ERRORS } from '@remit/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { WIRE_MAPPINGS, type WireError } from '../errors.ts';

/** How a group of routes says its errors. */
export type ErrorFormat = 'authzen' | 'oauth' | 'problem';

type Body = { contentType: string; payload: string };

/** RFC 9457: `type` is a URN of the code, `title` the code's own sentence. */
function problem(error: WireError, request: FastifyRequest): Body {
  return {
    contentType: 'application/problem+json',
    payload: JSON.stringify({
      ...error.extra,
      type: `urn:remit:error:${error.code}`,
      title: WIRE_ERRORS[error.code],
      status: WIRE_MAPPINGS[error.code].status,
      code: error.code,
      detail: error.message,
      instance: `urn:uuid:${request.errorId}`,
      request_id: request.id,
    }),
  };
}

/** RFC 6749 section 5.2. `error_description` may hold printable ASCII without quote and backslash. */
function oauth(error: WireError): Body {
  return {
    contentType: 'application/json',
    payload: JSON.stringify({
      ...error.extra,
      error: WIRE_MAPPINGS[error.code].oauth,
      error_description: error.message.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?'),
    }),
  };
}

/** AuthZEN 1.0 section 10.1.3: an HTTP status and a plain message. */
function authzen(error: WireError): Body {
  return { contentType: 'text/plain; charset=utf-8', payload: error.message };
}

const FORMATS: Readonly<Record<ErrorFormat, (error: WireError, request: FastifyRequest) => Body>> =
  Object.freeze({ authzen, oauth, problem });

/** Sends a wire error in the format of the route group. */
export function sendError(
  format: ErrorFormat,
  error: WireError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { status } = WIRE_MAPPINGS[error.code];
  const { contentType, payload } = FORMATS[format](error, request);
  if (status === 503) void reply.header('retry-after', '1');
  return reply
    .code(status)
    .headers({ ...error.headers })
    .header('content-type', contentType)
    .send(Buffer.from(payload)); // bytes: Fastify would add a charset to text
}
