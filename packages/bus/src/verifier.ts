import { type KeyObject, verify } from 'node:crypto';
import { type PublicJwk, parseJsonStrict, type SignedType } from '@remit/contracts';
import { BusError } from './error.ts';
import { decodeBase64url, splitCompact } from './jws.ts';
import { importVerifyKey } from './keys.ts';

const MAX_HEADER = 512;
const MAX_CACHED_HEADERS = 64;

export type PublicJwks = readonly PublicJwk[] | { readonly keys: readonly PublicJwk[] };

export type Verifier = {
  /**
   * Returns the payload of a compact JWS (text, or its ASCII bytes as they come from the bus) after
   * `alg` (only Ed25519), a closed header, `typ` (exactly the given one), a known `kid` and the
   * signature. Does not read the payload: schema, tenant, sequence and epoch are the caller's.
   * Throws BusError `EVENT_TYPE_MISMATCH` for another `typ`, else `EVENT_SIGNATURE_INVALID`.
   */
  verify(typ: SignedType, jws: string | Uint8Array): Uint8Array;
  /** Puts other keys in the place of the present ones; an invalid set changes nothing. */
  replaceKeys(jwks: PublicJwks): void;
  /** Believes one more key and returns its id. Throws `KEY_INVALID`. */
  trust(jwk: PublicJwk): string;
  /** Believes a key no more. Without any key left nothing verifies. */
  distrust(kid: string): void;
  /** The ids of the keys that are believed. */
  kids(): string[];
};

/**
 * Makes a verifier of pinned Ed25519 public keys. A key is never fetched because a message names it.
 * Throws BusError `KEY_INVALID`. RFC 7515 section 5.2, RFC 8725 sections 3.1 and 3.11.
 */
export function createVerifier(jwks: PublicJwks): Verifier {
  let keys = importAll(jwks);
  // The few headers that the current keys produce; only well-formed ones enter.
  const headers = new Map<string, { kid: string; typ: string }>();

  function header(encoded: string): { kid: string; typ: string } {
    let known = headers.get(encoded);
    if (known === undefined) {
      known = readHeader(encoded);
      if (keys.has(known.kid)) {
        if (headers.size >= MAX_CACHED_HEADERS) headers.clear();
        headers.set(encoded, known);
      }
    }
    return known;
  }

  return {
    verify(typ, jws) {
      const text = typeof jws === 'string' ? jws : Buffer.from(jws).toString('latin1');
      const parts = splitCompact(text);
      const { kid, typ: actual } = header(parts.header);
      if (actual !== typ) {
        throw new BusError('EVENT_TYPE_MISMATCH', 'signed as another kind of message', {
          details: { expected: typ, actual },
        });
      }
      const key = keys.get(kid);
      if (key === undefined) throw invalid('signed by an unknown key', { kid });
      const signature = decodeBase64url(parts.signature);
      const payload = decodeBase64url(parts.payload);
      if (signature?.length !== 64 || payload === undefined)
        throw invalid('not base64url', { kid });
      if (!verify(null, Buffer.from(parts.signingInput, 'latin1'), key, signature)) {
        throw invalid('signature does not verify', { kid });
      }
      return payload;
    },
    replaceKeys(next) {
      keys = importAll(next);
      headers.clear();
    },
    trust(jwk) {
      const { kid, key } = importVerifyKey(jwk);
      keys.set(kid, key);
      return kid;
    },
    distrust(kid) {
      keys.delete(kid);
      headers.clear();
    },
    kids: () => [...keys.keys()],
  };
}

function readHeader(encoded: string): { kid: string; typ: string } {
  const bytes = encoded.length <= MAX_HEADER ? decodeBase64url(encoded) : undefined;
  if (bytes === undefined) throw invalid('header is not base64url');
  let value: unknown;
  try {
    value = parseJsonStrict(bytes.toString('utf8'), { maxDepth: 1 });
  } catch (cause) {
    throw invalid('header is not one JSON object', {}, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('header is not one JSON object');
  }
  const { alg, kid, typ, ...rest } = value as Record<string, unknown>;
  if (Object.keys(rest).length > 0) throw invalid('header has unknown members');
  if (alg !== 'Ed25519') throw invalid('algorithm is not accepted');
  if (typeof kid !== 'string' || typeof typ !== 'string') throw invalid('header is incomplete');
  return { kid, typ };
}

function importAll(jwks: PublicJwks): Map<string, KeyObject> {
  const list = isList(jwks) ? jwks : jwks.keys;
  if (list.length === 0) throw new BusError('KEY_INVALID', 'a verifier needs a key');
  return new Map(list.map(importVerifyKey).map(({ kid, key }) => [kid, key]));
}

function invalid(
  message: string,
  details: Record<string, unknown> = {},
  cause?: unknown,
): BusError {
  return new BusError('EVENT_SIGNATURE_INVALID', message, { details, cause });
}

function isList(jwks: PublicJwks): jwks is readonly PublicJwk[] {
  return Array.isArray(jwks);
}
