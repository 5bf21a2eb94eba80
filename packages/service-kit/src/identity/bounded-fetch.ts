import { parseJsonStrict } from '@remit/contracts';
import { ServiceError } from '../errors.ts';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const MAX_BYTES = 262_144;
const TIMEOUT_MS = 3_000;

/**
 * Gets a JSON object with bounds on size (256 KiB) and time (3 s). No redirect is followed: the
 * address is the pinned one or the request fails. Throws ServiceError `IDP_UNAVAILABLE`.
 */
export async function fetchJson(fetch: Fetch, url: string): Promise<Record<string, unknown>> {
  try {
    const response = await fetch(url, {
      redirect: 'error',
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status !== 200) throw new Error(`answered ${response.status}`);
    const value = parseJsonStrict(await readBounded(response));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Error('answered something other than an object');
    }
    return value;
  } catch (cause) {
    throw new ServiceError('IDP_UNAVAILABLE', `${url} could not be read`, { url }, cause);
  }
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (!response.body) return '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error('answered too much');
    chunks.push(chunk);
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
}
