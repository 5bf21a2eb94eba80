import type { IncomingMessage } from 'node:http';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FastifyRequest } from 'fastify';

/** The bytes of bodies as they came, for routes whose proofs are for their body. */
export type Bodies = {
  /** Keeps a body while it is read; returns the stream to read instead. */
  keep(request: FastifyRequest, payload: Readable): Readable;
  /** The whole body; `unread` when its end was not seen, so that nobody knows what it says. */
  of(request: FastifyRequest): Uint8Array | 'unread';
};

/** Remembers bodies as long as their requests live. At most the server's body limit is ever read. */
export function createBodies(): Bodies {
  const bodies = new WeakMap<FastifyRequest, { chunks: Buffer[]; whole: boolean }>();
  return {
    keep(request, payload) {
      const body = { chunks: [] as Buffer[], whole: hasNone(request.raw) };
      bodies.set(request, body);
      if (body.whole) return payload;
      const copy = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          body.chunks.push(chunk);
          done(null, chunk);
        },
        flush(done) {
          body.whole = true;
          done();
        },
      });
      // A caller who hangs up ends the copy with an error, which the parser sees.
      pipeline(payload, copy).catch(() => undefined);
      return copy;
    },
    of(request) {
      const body = bodies.get(request);
      return body?.whole ? Buffer.concat(body.chunks) : 'unread';
    },
  };
}

/** HTTP/1.1 says in its headers that there is no body (RFC 9112 section 6.3), HTTP/2 in its frames. */
function hasNone(raw: IncomingMessage & { stream?: { endAfterHeaders?: boolean } }): boolean {
  if (raw.httpVersionMajor >= 2) return raw.stream?.endAfterHeaders === true;
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers;
  return coding === undefined && (length === undefined || length === '0');
}
