import { type JsonObject, type PublicJwk, parseJsonStrict, sha256 } from '@remit/contracts';
import {
  type CryptoKey,
  calculateJwkThumbprint,
  compactVerify,
  decodeProtectedHeader,
  generateKeyPair,
  importJWK,
} from 'jose';
import type { IssuerError } from '../error.ts';
import type { ClientIdentity } from './methods.ts';

/** JOSE algorithms of what agents sign for the issuer, and the keys that each may be verified with. */
export const AGENT_KEY_ALGORITHMS: Readonly<Record<string, { kty: string; crv: string }>> =
  Object.freeze({
    __proto__: null,
    Ed25519: Object.freeze({ kty: 'OKP', crv: 'Ed25519' }),
    ES256: Object.freeze({ kty: 'EC', crv: 'P-256' }),
  } as never);

const HEADER_MEMBERS = new Set(['alg', 'kid', 'typ']);
/** The longest id of an agent, characters. */
export const MAX_AGENT_ID = 128;
const MAX_LENGTH = 4_096;
const MAX_AHEAD_SECONDS = 300;
const SKEW_SECONDS = 30;

/** One kind of JWT that agents sign. */
export type AgentJwtKind = {
  /** The parameter that carries it; error sentences begin with it. */
  readonly name: string;
  /** Allowed `typ`, in lower case and without `application/`. */
  readonly types: ReadonlySet<string>;
  readonly refused: (message: string, cause?: unknown) => IssuerError;
};

/** What a JWT that verified says. `thumbprint` names the registered key that signed it. */
export type VerifiedAgentJwt = {
  readonly claims: JsonObject;
  readonly thumbprint: string;
  /** For the replay memory: no JWT with this digest may be taken again until `expSeconds`. */
  readonly jtiHash: string;
  readonly iatSeconds: number;
  readonly expSeconds: number;
};

/**
 * Reads whom a JWT says it is from; nothing is verified yet. Everything about its form is refused here,
 * before anybody is looked up: a later sentence would tell a registered agent from an unknown one.
 * Throws what the kind refuses with.
 */
export function claimedAgent(jwt: string, kind: AgentJwtKind, maxIdLength: number): string {
  if (jwt.length > MAX_LENGTH) throw kind.refused(`${kind.name} is too long.`);
  const segment = jwt.split('.')[1] ?? '';
  if (!/^[A-Za-z0-9_-]+$/.test(segment)) throw kind.refused(`${kind.name} is not a JWT.`);
  const { sub } = parsePayload(Buffer.from(segment, 'base64url'), kind);
  if (typeof sub !== 'string' || sub === '' || sub.length > maxIdLength) {
    throw kind.refused(`${kind.name} has no subject.`);
  }
  readHeader(jwt, kind);
  return sub;
}

/**
 * Verifies a JWT that an agent signed for this issuer (RFC 7523 section 3, as
 * draft-ietf-oauth-rfc7523bis narrows it).
 * Checks: the header is `typ`, `alg` and `kid` alone; the algorithm is on the list before any key is
 * touched; the signature, with a key that the registry holds for this agent; `iss` and `sub` are the
 * agent; `aud` is the issuer URL as one string, byte for byte; `exp` is ahead by at most 5 minutes;
 * `iat` and `nbf` are not ahead by more than 30 seconds; there is a `jti`.
 * Does not check that the agent is active, other claims, or that the JWT is new: the caller does.
 * Throws what the kind refuses with.
 */
export async function verifyAgentJwt(
  jwt: string,
  kind: AgentJwtKind,
  options: { signer: ClientIdentity; issuer: string; nowSeconds: number },
): Promise<VerifiedAgentJwt> {
  const { signer, issuer, nowSeconds } = options;
  const refuse = (what: string, cause?: unknown) => kind.refused(`${kind.name} ${what}.`, cause);
  const { alg, kid } = readHeader(jwt, kind);
  const key = await registeredKey(signer.keys, alg, kid);
  if (!key) throw await unregistered(jwt, kind);
  let bytes: Uint8Array;
  try {
    bytes = (await compactVerify(jwt, key.verifyKey, { algorithms: [alg] })).payload;
  } catch (cause) {
    throw unverified(kind, cause);
  }
  const claims = parsePayload(bytes, kind);
  if (claims.iss !== signer.id || claims.sub !== signer.id) throw refuse('is not from this client');
  if (claims.aud !== issuer) throw refuse('has another audience');
  const { exp, iat, nbf = nowSeconds, jti } = claims;
  if (!isSeconds(exp) || exp <= nowSeconds) throw refuse('has expired');
  if (exp > nowSeconds + MAX_AHEAD_SECONDS) throw refuse('lives too long');
  if (!isSeconds(iat) || iat > nowSeconds + SKEW_SECONDS) throw refuse('was not issued yet');
  if (!isSeconds(nbf) || nbf > nowSeconds + SKEW_SECONDS) throw refuse('is not valid yet');
  if (typeof jti !== 'string' || jti === '' || jti.length > 256) throw refuse('has no jti');
  return {
    claims,
    thumbprint: key.thumbprint,
    jtiHash: sha256(jti),
    iatSeconds: iat,
    expSeconds: exp,
  };
}

/**
 * The refusal of an agent or a key that is not registered. A signature is verified all the same, with a
 * key that nobody signs with, so that the time it takes says nothing about who is registered.
 */
export async function unregistered(jwt: string, kind: AgentJwtKind): Promise<IssuerError> {
  const { alg } = readHeader(jwt, kind);
  const key = nobodysKeys.get(alg) ?? generateKeyPair(alg).then(({ publicKey }) => publicKey);
  nobodysKeys.set(alg, key);
  await compactVerify(jwt, await key, { algorithms: [alg] }).catch(() => undefined);
  return unverified(kind);
}

const nobodysKeys = new Map<string, Promise<CryptoKey>>();

/** One sentence for an unknown agent, an unknown key and a bad signature. */
function unverified(kind: AgentJwtKind, cause?: unknown): IssuerError {
  return kind.refused(`${kind.name} does not verify.`, cause);
}

/** Whether one of these keys has this thumbprint (RFC 7638). */
export async function holdsKey(keys: readonly PublicJwk[], thumbprint: string): Promise<boolean> {
  for (const jwk of keys) {
    if ((await thumbprintOf(jwk)) === thumbprint) return true;
  }
  return false;
}

function readHeader(jwt: string, { name, types, refused }: AgentJwtKind) {
  let header: Record<string, unknown>;
  try {
    header = decodeProtectedHeader(jwt);
  } catch (cause) {
    throw refused(`${name} is not a JWT.`, cause);
  }
  const { alg, kid, typ } = header;
  if (!Object.keys(header).every((member) => HEADER_MEMBERS.has(member))) {
    throw refused(`${name} has a header member that is not allowed.`);
  }
  // A media type: case does not count, and `application/` may be left out (RFC 7515 section 4.1.9).
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : '';
  if (!types.has(type)) throw refused(`${name} has another type.`);
  if (typeof alg !== 'string' || !(alg in AGENT_KEY_ALGORITHMS)) {
    throw refused(`${name} has an algorithm that is not accepted.`);
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) {
    throw refused(`${name} has no valid kid.`);
  }
  return { alg, kid };
}

/** The one registered key that fits `alg` and, where given, `kid` (its own or its thumbprint). */
async function registeredKey(keys: readonly PublicJwk[], alg: string, kid: string | undefined) {
  const expected = AGENT_KEY_ALGORITHMS[alg];
  const fitting: { jwk: PublicJwk; thumbprint: string }[] = [];
  for (const jwk of keys) {
    if (jwk.kty !== expected?.kty || jwk.crv !== expected.crv) continue;
    if (jwk.alg !== undefined && jwk.alg !== alg) continue;
    const thumbprint = await thumbprintOf(jwk);
    if (kid === undefined || kid === jwk.kid || kid === thumbprint) {
      fitting.push({ jwk, thumbprint });
    }
  }
  const [found] = fitting;
  // Without a kid, one key must be the only one that fits: verifying is not searching.
  if (!found || fitting.length > 1) return undefined;
  const verifyKey = await imported(found.jwk, alg);
  return { verifyKey, thumbprint: found.thumbprint };
}

// By the frozen key of a body that the directory keeps: gone when it is.
const thumbprints = new WeakMap<PublicJwk, string>();
const verifyKeys = new WeakMap<PublicJwk, CryptoKey>();

async function thumbprintOf(jwk: PublicJwk): Promise<string> {
  const found = thumbprints.get(jwk) ?? (await calculateJwkThumbprint(jwk));
  thumbprints.set(jwk, found);
  return found;
}

/** Kind and curve of a key leave it one algorithm. */
async function imported(jwk: PublicJwk, alg: string): Promise<CryptoKey> {
  const known = verifyKeys.get(jwk);
  if (known) return known;
  const made = await importJWK({ ...jwk, alg }, alg);
  // Bytes are what a symmetric key would be, and no kind of agent key is one.
  if (made instanceof Uint8Array) throw new TypeError('a symmetric key');
  verifyKeys.set(jwk, made);
  return made;
}

function parsePayload(bytes: Uint8Array, { name, refused }: AgentJwtKind): JsonObject {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const value = parseJsonStrict(text, { maxLength: MAX_LENGTH, maxDepth: 4 });
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    throw refused(`${name} has no well-formed claims.`, cause);
  }
  throw refused(`${name} has no well-formed claims.`);
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
