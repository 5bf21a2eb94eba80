import { type JsonObject, parseJsonStrict } from '@remit/contracts';
import { AgentError } from './error.ts';

/** The part of the global `fetch` that the SDK uses. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** How to reach the issuer: `timeoutMs` is for one request and its answer. */
export type Transport = {
  readonly fetch: Fetch;
  readonly timeoutMs: number;
  readonly allowInsecureHttp: boolean;
};

const MAX_ANSWER_BYTES = 131_072;
/** This machine, by its addresses and names: RFC 6761 section 6.3 gives it all of `.localhost`. */
const LOOPBACK = /^(127\.0\.0\.1|\[::1\]|([a-z0-9-]+\.)*localhost)$/;

/**
 * Reads an absolute URL that secrets may be sent to: https, or http to this machine, without
 * credentials and fragment. `allowInsecureHttp` takes http to anywhere.
 * Throws AgentError with the given code.
 */
export function endpoint(
  text: string,
  transport: Pick<Transport, 'allowInsecureHttp'>,
  code: 'METADATA_INVALID' | 'OPTION_INVALID',
): URL {
  const url = URL.parse(text);
  if (!url || url.username !== '' || url.password !== '' || url.hash !== '') {
    throw new AgentError(code, 'not an absolute URL without credentials and fragment', {
      details: { url: text },
    });
  }
  const secure = url.protocol === 'https:';
  const local = url.protocol === 'http:' && LOOPBACK.test(url.hostname);
  if (!secure && !local && !(url.protocol === 'http:' && transport.allowInsecureHttp)) {
    throw new AgentError(code, 'the URL is neither https nor on this machine', {
      details: { url: text },
    });
  }
  return url;
}

/**
 * One request to the issuer. Redirects are refused: an assertion is for one address.
 * Throws AgentError `UNREACHABLE`.
 */
export async function send(
  transport: Transport,
  url: string,
  init: RequestInit,
): Promise<Response> {
  try {
    return await transport.fetch(url, {
      ...init,
      redirect: 'error',
      signal: AbortSignal.timeout(transport.timeoutMs),
    });
  } catch (cause) {
    throw new AgentError('UNREACHABLE', 'the issuer does not answer', { details: { url }, cause });
  }
}

/**
 * Reads an answer as one JSON object of at most 128 KB without duplicate names.
 * Throws AgentError `RESPONSE_INVALID`, or `UNREACHABLE` when the answer breaks off.
 */
export async function readJson(response: Response): Promise<JsonObject> {
  const text = await readText(response);
  const mediaType = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') {
    throw new AgentError('RESPONSE_INVALID', 'the answer is not JSON', {
      details: { status: response.status, mediaType: mediaType ?? null },
    });
  }
  try {
    const value = parseJsonStrict(text, { maxLength: MAX_ANSWER_BYTES });
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value;
  } catch (cause) {
    throw new AgentError('RESPONSE_INVALID', 'the answer is not well-formed JSON', { cause });
  }
  throw new AgentError('RESPONSE_INVALID', 'the answer is not a JSON object');
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) {
        throw new AgentError('RESPONSE_INVALID', 'the answer is too large');
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw new AgentError('UNREACHABLE', 'the answer broke off', { cause });
  }
  return Buffer.concat(chunks).toString('utf8');
}
