import {
  type AgentBody,
  type JsonObject,
  type PublicJwk,
  parseJsonStrict,
  sha256,
} from '@remit/contracts';
import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, importJWK } from 'jose';
import { IssuerError } from '../error.ts';
import type { TokenForm } from '../grant/form.ts';
import { JWT_BEARER_ASSERTION } from '../grant/names.ts';

/** JOSE algorithms of client assertions and the keys that each may be verified with. */
export const ASSERTION_ALGORITHMS: Readonly<Record<string, { kty: string; crv: string }>> =
  Object.freeze({
    __proto__: null,
    Ed25519: Object.freeze({ kty: 'OKP', crv: 'Ed25519' }),
    ES256: Object.freeze({ kty: 'EC', crv: 'P-256' }),
  } as never);

const TYPES = new Set(['client-authentication+jwt', 'jwt']);
const HEADER_MEMBERS = new Set(['alg', 'kid', 'typ']);
const MAX_LENGTH = 4_096;
const MAX_AHEAD_SECONDS = 300;
const SKEW_SECONDS = 30;
/** One sentence for an unknown client, an unknown key and a bad signature. */
const UNVERIFIED = 'client_assertion does not verify.';

/** What an assertion that verified says. `thumbprint` names the registered key that signed it. */
export type VerifiedAssertion = {
  readonly clientId: string;
  readonly thumbprint: string;
  /** For the replay memory: no assertion with this digest may be taken again until `expSeconds`. */
  readonly jtiHash: string;
  readonly expSeconds: number;
};

/** The assertion of a request, and the client that it says it is from. Nothing is verified yet. */
export type PresentedAssertion = { readonly jwt: string; readonly clientId: string };

/**
 * Finds the assertion of a request (RFC 7521 section 4.2) and reads who it claims to be from.
 * `client_id`, where given, must be that client. Throws IssuerError `CLIENT_UNAUTHENTICATED`.
 */
export function presentedAssertion(form: TokenForm): PresentedAssertion {
  const jwt = form.client_assertion ?? '';
  if (form.client_assertion_type !== JWT_BEARER_ASSERTION) {
    throw refused('client_assertion_type is not one that this endpoint takes.');
  }
  if (jwt.length > MAX_LENGTH) throw refused('client_assertion is too long.');
  const clientId = readPayload(jwt.split('.')[1] ?? '').sub;
  if (typeof clientId !== 'string' || clientId === '' || clientId.length > 128) {
    throw refused('client_assertion has no subject.');
  }
  if ((form.client_id ?? clientId) !== clientId) {
    throw refused('client_id is not the subject of client_assertion.');
  }
  return { jwt, clientId };
}

/**
 * Verifies a client assertion (RFC 7523 section 3, as draft-ietf-oauth-rfc7523bis narrows it).
 * Checks: the header is `typ` (`client-authentication+jwt` or `JWT`), `alg` and `kid` alone;
 * the algorithm is on the list before any key is touched; the signature, with a key that the
 * registry holds for this agent; `iss` and `sub` are the client; `aud` is the issuer URL as one
 * string, byte for byte; `exp` is ahead by at most 5 minutes; `iat` and `nbf` are not ahead by more
 * than 30 seconds; there is a `jti`.
 * Does not check that the agent is active or that the assertion is new: the caller does both.
 * Throws IssuerError `CLIENT_UNAUTHENTICATED`.
 */
export async function verifyAssertion(
  presented: PresentedAssertion,
  options: { agent: AgentBody; issuer: string; nowSeconds: number },
): Promise<VerifiedAssertion> {
  const { agent, issuer, nowSeconds } = options;
  const { alg, kid } = readHeader(presented.jwt);
  const key = await registeredKey(agent.keys, alg, kid);
  let bytes: Uint8Array;
  try {
    bytes = (await compactVerify(presented.jwt, key.verifyKey, { algorithms: [alg] })).payload;
  } catch (cause) {
    throw refused(UNVERIFIED, cause);
  }
  const claims = parsePayload(bytes);
  if (claims.iss !== agent.id || claims.sub !== agent.id) {
    throw refused('client_assertion is not from this client.');
  }
  if (claims.aud !== issuer) throw refused('client_assertion has another audience.');
  const { exp, iat, nbf = nowSeconds, jti } = claims;
  if (!isSeconds(exp) || exp <= nowSeconds) throw refused('client_assertion has expired.');
  if (exp > nowSeconds + MAX_AHEAD_SECONDS) throw refused('client_assertion lives too long.');
  if (!isSeconds(iat) || iat > nowSeconds + SKEW_SECONDS) {
    throw refused('client_assertion was not issued yet.');
  }
  if (!isSeconds(nbf) || nbf > nowSeconds + SKEW_SECONDS) {
    throw refused('client_assertion is not valid yet.');
  }
  if (typeof jti !== 'string' || jti === '' || jti.length > 256) {
    throw refused('client_assertion has no jti.');
  }
  return { clientId: agent.id, thumbprint: key.thumbprint, jtiHash: sha256(jti), expSeconds: exp };
}

/** Whether one of these keys has this thumbprint (RFC 7638). */
export async function holdsKey(keys: readonly PublicJwk[], thumbprint: string): Promise<boolean> {
  for (const jwk of keys) {
    if ((await calculateJwkThumbprint(jwk)) === thumbprint) return true;
  }
  return false;
}

function readHeader(jwt: string): { alg: string; kid: string | undefined } {
  let header: Record<string, unknown>;
  try {
    header = decodeProtectedHeader(jwt);
  } catch (cause) {
    throw refused('client_assertion is not a JWT.', cause);
  }
  const { alg, kid, typ } = header;
  if (!Object.keys(header).every((name) => HEADER_MEMBERS.has(name))) {
    throw refused('client_assertion has a header member that is not allowed.');
  }
  // A media type: case does not count, and `application/` may be left out (RFC 7515 section 4.1.9).
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
  if (!TYPES.has(type)) throw refused('client_assertion has another type.');
  if (typeof alg !== 'string' || !(alg in ASSERTION_ALGORITHMS)) {
    throw refused('client_assertion has an algorithm that is not accepted.');
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) {
    throw refused('client_assertion has no valid kid.');
  }
  return { alg, kid };
}

/** The one registered key that fits `alg` and, where given, `kid` (its own or its thumbprint). */
async function registeredKey(keys: readonly PublicJwk[], alg: string, kid: string | undefined) {
  const expected = ASSERTION_ALGORITHMS[alg];
  const fitting: { jwk: PublicJwk; thumbprint: string }[] = [];
  for (const jwk of keys) {
    if (jwk.kty !== expected?.kty || jwk.crv !== expected.crv) continue;
    if (jwk.alg !== undefined && jwk.alg !== alg) continue;
    const thumbprint = await calculateJwkThumbprint(jwk);
    if (kid === undefined || kid === jwk.kid || kid === thumbprint) {
      fitting.push({ jwk, thumbprint });
    }
  }
  const [found] = fitting;
  // Without a kid, one key must be the only one that fits: verifying is not searching.
  if (!found || fitting.length > 1) throw refused(UNVERIFIED);
  const verifyKey = await importJWK({ ...found.jwk, alg }, alg);
  return { verifyKey, thumbprint: found.thumbprint };
}

function readPayload(segment: string): JsonObject {
  if (!/^[A-Za-z0-9_-]+$/.test(segment)) throw refused('client_assertion is not a JWT.');
  return parsePayload(Buffer.from(segment, 'base64url'));
}

function parsePayload(bytes: Uint8Array): JsonObject {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const value = parseJsonStrict(text, { maxLength: MAX_LENGTH, maxDepth: 4 });
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    throw refused('client_assertion has no well-formed claims.', cause);
  }
  throw refused('client_assertion has no well-formed claims.');
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function refused(message: string, cause?: unknown): IssuerError {
  return new IssuerError('CLIENT_UNAUTHENTICATED', message, {
    reason: 'client_unauthenticated',
    cause,
  });
}
