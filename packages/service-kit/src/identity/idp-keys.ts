import { parseJsonStrict } from '@remit/contracts';
import {
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyResult,
  jwtVerify,
} from 'jose';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../process/clock.ts';
import { type Fetch, fetchJson } from './bounded-fetch.ts';

/** Signature algorithms of identity providers that are accepted. */
export const IDP_ALGORITHMS = ['RS256', 'ES256', 'EdDSA', 'Ed25519'] as const;

const MAX_TOKEN_CHARS = 16_384;
const MAX_ISSUERS = 256;
const FRESH_MS = 600_000;
const STALE_MS = 3_600_000;

export type VerifyIdpTokenOptions = {
  /** The issuer, pinned by the registry; must equal `iss` character by character. */
  issuer: string;
  /** Accepted `typ` headers, lower case, without `application/`; any when it is not given. */
  types?: readonly string[];
  /** Seconds by which clocks may differ; 5 by default. */
  skewSeconds?: number;
};

/** Header and claims of a token whose signature, issuer and times hold. `aud` is the caller's. */
export type IdpToken = {
  header: { alg: string; kid?: string; typ?: string };
  claims: JWTPayload & { iss: string; sub: string; exp: number; iat: number };
};

export type IdpKeys = {
  verify: (token: string, options: VerifyIdpTokenOptions) => Promise<IdpToken>;
};

type Entry = {
  /** Finds a key, and keeps what it imported. */
  keyOf: ReturnType<typeof createLocalJWKSet>;
  loadedAt: number;
  refetchedAt: number;
  loading?: Promise<void>;
};

/**
 * Signing keys of identity providers by issuer: discovery (OpenID Connect Discovery 1.0 section 4),
 * then `jwks_uri`. Kept 10 minutes; when the provider is away, up to an hour. An unknown `kid` is
 * looked up again at once, but only once per `cooldownMs` (default 10 000), so that rotation works
 * and forged key ids cannot make this hammer a provider. Only issuers that a caller pins are asked.
 */
export function createIdpKeys(options: {
  clock: Clock;
  fetch?: Fetch;
  cooldownMs?: number;
}): IdpKeys {
  const { clock, fetch = globalThis.fetch, cooldownMs = 10_000 } = options;
  const entries = new Map<string, Entry>();

  async function load(issuer: string): Promise<void> {
    const discovery = await fetchJson(
      fetch,
      `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
    );
    if (discovery.issuer !== issuer) {
      throw new ServiceError('IDP_UNAVAILABLE', 'a provider names another issuer than its own', {
        issuer,
      });
    }
    const uri = discovery.jwks_uri;
    if (typeof uri !== 'string' || !mayFetch(uri, issuer)) {
      throw new ServiceError('IDP_UNAVAILABLE', 'a provider names no usable jwks_uri', { issuer });
    }
    const jwks = await fetchJson(fetch, uri);
    if (!Array.isArray(jwks.keys)) {
      throw new ServiceError('IDP_UNAVAILABLE', 'a provider publishes no key set', { issuer });
    }
    if (entries.size >= MAX_ISSUERS) entries.delete(entries.keys().next().value as string);
    const before = entries.get(issuer);
    entries.set(issuer, {
      keyOf: createLocalJWKSet(jwks as unknown as JSONWebKeySet),
      loadedAt: clock.now(),
      refetchedAt: before?.refetchedAt ?? Number.NEGATIVE_INFINITY,
    });
  }

  const loading = new Map<string, Promise<void>>();
  function loadOnce(issuer: string): Promise<void> {
    let current = loading.get(issuer);
    if (!current) {
      current = load(issuer).finally(() => loading.delete(issuer));
      loading.set(issuer, current);
    }
    return current;
  }

  async function keysOf(issuer: string): Promise<Entry> {
    const known = entries.get(issuer);
    const age = known ? clock.now() - known.loadedAt : Number.POSITIVE_INFINITY;
    if (known && age < FRESH_MS) return known;
    try {
      await loadOnce(issuer);
    } catch (error) {
      if (known && age < STALE_MS) return known;
      throw error;
    }
    return entries.get(issuer) as Entry;
  }

  /** Whether the keys were looked up again for an unknown `kid`. */
  async function refetch(issuer: string, entry: Entry): Promise<boolean> {
    const now = clock.now();
    if (loading.has(issuer)) {
      await loadOnce(issuer);
      return true;
    }
    if (now - entry.refetchedAt < cooldownMs) return false;
    entry.refetchedAt = now;
    await loadOnce(issuer);
    return true;
  }

  return {
    verify: async (token, verifyOptions) => {
      checkForm(token, verifyOptions);
      const { issuer } = verifyOptions;
      const entry = await keysOf(issuer);
      try {
        return await check(token, entry.keyOf, verifyOptions, clock);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw tokenError(error);
        if (!(await refetch(issuer, entry))) throw tokenError(error);
      }
      const renewed = entries.get(issuer) as Entry;
      try {
        return await check(token, renewed.keyOf, verifyOptions, clock);
      } catch (error) {
        throw tokenError(error);
      }
    },
  };
}

/** Keys come over TLS, or from a provider that is itself without TLS (a demo on one machine). */
function mayFetch(uri: string, issuer: string): boolean {
  if (!URL.canParse(uri)) return false;
  const { protocol } = new URL(uri);
  return protocol === 'https:' || (protocol === 'http:' && issuer.startsWith('http:'));
}

function refuse(message: string, cause?: unknown): ServiceError {
  return new ServiceError('IDP_TOKEN_INVALID', message, {}, cause);
}

/** Cheap checks before cryptography: size, form, one reading of header and payload. */
function checkForm(token: string, { types }: VerifyIdpTokenOptions): void {
  if (token.length > MAX_TOKEN_CHARS) throw refuse('the token is too large');
  const match = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(token);
  if (!match) throw refuse('the token is not a compact JWS');
  const header = parseSegment(match[1] as string);
  parseSegment(match[2] as string);
  if (!(IDP_ALGORITHMS as readonly unknown[]).includes(header.alg)) {
    throw refuse('the algorithm is not accepted');
  }
  if ('crit' in header || 'b64' in header) throw refuse('the header is not accepted');
  if (!types) return;
  const { typ } = header;
  const short = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
  if (!types.includes(short)) throw refuse('the token is of another type');
}

function parseSegment(segment: string): Record<string, unknown> {
  let value: unknown;
  try {
    const bytes = Buffer.from(segment, 'base64url');
    if (bytes.toString('base64url') !== segment) throw new Error('not canonical base64url');
    value = parseJsonStrict(new TextDecoder('utf-8', { fatal: true }).decode(bytes), {
      maxDepth: 8,
    });
  } catch (cause) {
    throw refuse('the token is not readable', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('the token is not readable');
  }
  return value as Record<string, unknown>;
}

async function check(
  token: string,
  keyOf: Entry['keyOf'],
  { issuer, skewSeconds = 5 }: VerifyIdpTokenOptions,
  clock: Clock,
): Promise<IdpToken> {
  const now = clock.now();
  const { payload, protectedHeader }: JWTVerifyResult = await jwtVerify(token, keyOf, {
    algorithms: [...IDP_ALGORITHMS],
    issuer,
    currentDate: new Date(now),
    clockTolerance: skewSeconds,
    requiredClaims: ['exp', 'iat', 'sub', 'aud'],
  });
  const { iat, sub } = payload;
  if (typeof iat !== 'number' || iat > now / 1_000 + skewSeconds) {
    throw refuse('the token was issued in the future');
  }
  if (typeof sub !== 'string' || sub === '' || sub.length > 512)
    throw refuse('the subject is not usable');
  const { alg, kid, typ } = protectedHeader;
  return {
    header: { alg, ...(kid === undefined ? {} : { kid }), ...(typ === undefined ? {} : { typ }) },
    claims: payload as IdpToken['claims'],
  };
}

function tokenError(error: unknown): unknown {
  if (error instanceof ServiceError) return error;
  if (error instanceof errors.JOSEError) return refuse('the token does not verify', error);
  return refuse('the token does not verify', error);
}
