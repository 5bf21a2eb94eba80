import type { Socket } from 'node:net';
import { WIRE_ERRORS } from '@remit/contracts';

/** What node's parser refuses before there is a request. */
const TOO_LARGE = new Set(['HPE_HEADER_OVERFLOW', 'HPE_CHUNK_EXTENSIONS_OVERFLOW']);
const TOO_SLOW = 'ERR_HTTP_REQUEST_TIMEOUT';

/**
 * Answers bytes that are not HTTP with the same kind of problem as everything else, and closes the
 * connection: what follows on it cannot be told apart from the broken request.
 */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (socket.destroyed || !socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [status, reason, code] = TOO_LARGE.has(error.code ?? '')
    ? ([431, 'Request Header Fields Too Large', 'PAYLOAD_TOO_LARGE'] as const)
    : error.code === TOO_SLOW
      ? ([408, 'Request Timeout', 'INVALID_REQUEST'] as const)
      : ([400, 'Bad Request', 'INVALID_REQUEST'] as const);
  const body = JSON.stringify({
    type: `urn:remit:error:${code}`,
    title: WIRE_ERRORS[code],
    status,
    code,
  });
  socket.end(
    [
      `HTTP/1.1 ${status} ${reason}`,
      'connection: close',
      'cache-control: no-store',
      'content-type: application/problem+json',
      `content-length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n'),
  );
}
