import { importVerifyKey, TokenError, type VerifyKey } from '@remit/capability/token';
import { conform, type PublicJwk, parseJsonStrict, publicJwk } from '@remit/contracts';

/** The token keys that an issuer publishes, by `kid`. */
export type IssuerKeys = {
  /** The key, if it is known now. Never asks. */
  get(kid: string): VerifyKey | undefined;
  /** Asks the issuer once for what it publishes; at most once per cool-down. Resolves whatever comes. */
  refresh(): Promise<void>;
  size(): number;
};

const MAX_BYTES = 262_144;
const MAX_KEYS = 32;

/**
 * Follows the JWKS of one issuer (RFC 7517). Only the address from the trust file is ever asked,
 * redirects are refused, an answer is at most 256 KiB and 32 keys, and it replaces what was known as a whole, so that a
 * withdrawn key is gone. An answer that fails leaves the old keys in place.
 * `cooldownMs` (default 2000) is the least time between two requests: unknown key ids at a high
 * rate cost nothing.
 */
export function createIssuerKeys(options: {
  jwksUri: string;
  monotonicMs: () => number;
  fetch?: typeof fetch;
  cooldownMs?: number;
  timeoutMs?: number;
  onError?: (cause: unknown) => void;
}): IssuerKeys {
  const cooldownMs = options.cooldownMs ?? 2_000;
  const ask = options.fetch ?? fetch;
  let keys = new Map<string, VerifyKey>();
  let askedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | undefined;

  async function load(): Promise<void> {
    try {
      const response = await ask(options.jwksUri, {
        redirect: 'error',
        headers: { accept: 'application/json' },
        signal: AbortSignal.timeout(options.timeoutMs ?? 2_000),
      });
      if (response.status !== 200) throw new Error(`the issuer answered ${response.status}`);
      keys = readKeys(await boundedText(response));
    } catch (cause) {
      options.onError?.(cause);
    }
  }

  return {
    get: (kid) => keys.get(kid),
    refresh() {
      if (asking) return asking;
      const now = options.monotonicMs();
      if (now - askedAt < cooldownMs) return Promise.resolve();
      askedAt = now;
      asking = load().finally(() => {
        asking = undefined;
      });
      return asking;
    },
    size: () => keys.size,
  };
}

async function boundedText(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_BYTES) throw new Error('the key set is too large');
  }
  return text + decoder.decode();
}

/**
 * Keys of a type or an algorithm that this version does not know are left out (RFC 7517 section 5),
 * so that an issuer can publish a key ahead of its PEPs. A set with a private key is refused whole.
 */
function readKeys(text: string): Map<string, VerifyKey> {
  const set = parseJsonStrict(text, { maxLength: MAX_BYTES, maxDepth: 8 }) as { keys?: unknown };
  if (!Array.isArray(set.keys) || set.keys.length > MAX_KEYS) throw new Error('not a key set');
  const keys = new Map<string, VerifyKey>();
  for (const jwk of set.keys as unknown[]) {
    if (!KNOWN_TYPES.has((jwk as { kty?: unknown } | null)?.kty)) continue;
    const key = readKey(conform(publicJwk, jwk));
    if (key) keys.set(key.kid, key);
  }
  return keys;
}

const KNOWN_TYPES = new Set<unknown>(['AKP', 'EC', 'OKP']);

function readKey(jwk: PublicJwk): VerifyKey | undefined {
  try {
    return importVerifyKey(jwk);
  } catch (cause) {
    if (cause instanceof TokenError) return undefined;
    throw cause;
  }
}
