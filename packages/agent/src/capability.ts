import type { PermissionJson } from '@remit/contracts';
import { AgentError } from './error.ts';
import type { Fetch } from './http.ts';
import type { ProofKey } from './keys.ts';
import type { Grant, Task } from './token-request.ts';

/**
 * A capability token in the hands of the agent it was issued to, for one audience and one task.
 * The token text and the key are hidden: they show in no log, no JSON and no inspection.
 */
export type Capability = {
  /** The token itself. Not enumerable. Whoever reads it must not log it or send it elsewhere. */
  readonly token: string;
  readonly tokenType: 'Bearer' | 'DPoP';
  readonly expiresAt: Date;
  /** The one audience; its origin is the only one that the token is ever sent to. */
  readonly audience: string;
  /** What was granted. It can be less than what the task type allows. */
  readonly permissions: readonly PermissionJson[];
  readonly task: Task;
  /**
   * The headers of one request to the audience: `authorization` and, for a bound token, `dpop` with
   * a proof made for this method and URL that no second request may use. `nonce` is one that the
   * tool asked for; `body` are the bytes that will be sent (empty for none), which the proof is then
   * for: tools may demand that. Throws AgentError `WRONG_ORIGIN` or `OPTION_INVALID`.
   */
  headers(
    method: string,
    url: string | URL,
    more?: { nonce?: string | undefined; body?: Uint8Array | undefined },
  ): Record<string, string>;
  /**
   * Calls the tool with token and proof and returns its answer, whatever the status. The proof is for
   * the body too, unless that is a stream, which nobody can read twice.
   * Answers a nonce challenge (RFC 9449 section 9) once, where the body can be sent again.
   * Follows no redirect: a 3xx comes back as it is. Does not look at the expiry, which the tool
   * judges by its own clock. Throws AgentError `WRONG_ORIGIN`, `OPTION_INVALID` or `UNREACHABLE`.
   */
  fetch(url: string | URL, init?: RequestInit): Promise<Response>;
};

/** Binds a grant to the key that proves it; `key` is undefined for a bearer token. */
export function createCapability(
  grant: Grant,
  options: { audience: string; expiresAt: Date; key: ProofKey | undefined; fetch: Fetch },
): Capability {
  const { audience, key } = options;
  const origin = new URL(audience).origin;
  let newest: string | undefined;

  const headers: Capability['headers'] = (method, url, { nonce, body } = {}) => {
    const target = URL.parse(String(url));
    if (!target) throw new AgentError('OPTION_INVALID', 'the URL is not absolute');
    if (target.origin !== origin) {
      throw new AgentError('WRONG_ORIGIN', "the URL is not on the origin of the token's audience", {
        details: { expected: origin, found: target.origin },
      });
    }
    if (!key) return { authorization: `Bearer ${grant.token}` };
    const proof = key.prove({
      method,
      url: target.href,
      accessToken: grant.token,
      ...(nonce === undefined ? {} : { nonce }),
      ...(body === undefined ? {} : { body }),
    });
    return { authorization: `DPoP ${grant.token}`, dpop: proof };
  };

  async function call(url: string | URL, init: RequestInit = {}): Promise<Response> {
    const method = (init.method ?? 'GET').toUpperCase();
    const own = callerHeaders(init);
    const body = await readBody(init, own);
    const send = async (nonce: string | undefined): Promise<Response> => {
      const all = new Headers(own);
      const bytes = body === 'stream' ? undefined : body;
      for (const [name, value] of Object.entries(headers(method, url, { nonce, body: bytes }))) {
        all.set(name, value);
      }
      try {
        return await options.fetch(String(url), {
          ...init,
          ...(bytes && bytes.length > 0 ? { body: bytes } : {}),
          method,
          headers: all,
          redirect: 'manual',
        });
      } catch (cause) {
        if (init.signal?.aborted) throw cause;
        throw new AgentError('UNREACHABLE', 'the tool does not answer', {
          details: { origin },
          cause,
        });
      }
    };
    // What this call was made with: another one may learn a newer nonce meanwhile.
    const used = newest;
    const first = await send(used);
    const asked = first.headers.get('dpop-nonce') ?? undefined;
    if (key && asked !== undefined) newest = asked;
    const challenged = key && asked !== undefined && asked !== used && isNonceChallenge(first);
    if (!challenged || body === 'stream') return first;
    await first.body?.cancel();
    const second = await send(asked);
    newest = second.headers.get('dpop-nonce') ?? newest;
    return second;
  }

  const capability = {
    tokenType: grant.tokenType,
    expiresAt: options.expiresAt,
    audience,
    permissions: grant.permissions,
    task: grant.task,
    headers,
    fetch: call,
  };
  Object.defineProperty(capability, 'token', { value: grant.token, enumerable: false });
  return Object.freeze(capability) as Capability;
}

function callerHeaders(init: RequestInit): Headers {
  const own = new Headers(init.headers);
  if (own.has('authorization') || own.has('dpop')) {
    throw new AgentError('OPTION_INVALID', 'authorization and dpop headers are set by the SDK');
  }
  if (init.redirect !== undefined && init.redirect !== 'manual') {
    throw new AgentError('OPTION_INVALID', 'redirects are not followed with a token');
  }
  return own;
}

function isNonceChallenge(response: Response): boolean {
  const challenge = response.headers.get('www-authenticate') ?? '';
  return response.status === 401 && /\berror="use_dpop_nonce"/.test(challenge);
}

/**
 * The bytes that will be sent, read once: a form or a blob would be written anew for each request. Puts
 * the content type that `fetch` would have put. A stream is left alone.
 */
async function readBody(
  { body }: RequestInit,
  own: Headers,
): Promise<Uint8Array<ArrayBuffer> | 'stream'> {
  if (body === undefined || body === null) return new Uint8Array();
  if (!isRepeatable(body)) return 'stream';
  const request = new Request('https://body.invalid', { method: 'POST', body, headers: own });
  const type = request.headers.get('content-type');
  const bytes = new Uint8Array(await request.arrayBuffer());
  if (type !== null) own.set('content-type', type);
  return bytes;
}

/** A stream is gone once it was sent; everything else that fetch takes can be sent again. */
function isRepeatable(body: NonNullable<RequestInit['body']>): boolean {
  return (
    typeof body === 'string' ||
    body instanceof URLSearchParams ||
    body instanceof ArrayBuffer ||
    ArrayBuffer.isView(body) ||
    body instanceof Blob ||
    body instanceof FormData
  );
}
