import { generateKeyPairSync, randomBytes } from 'node:crypto';
import {
  createLink,
  createProof,
  importSigner,
  type NewLink,
  type Signer,
  TokenError,
} from '@remit/capability';
import { AgentError } from './error.ts';

/** A private key as a JWK: Ed25519 or P-256. */
export type PrivateJwk = Readonly<Record<string, unknown>>;

/** The registered key of a client. */
export type ClientKey = {
  /**
   * A client assertion (RFC 7523 section 2.2) with the issuer as its one audience, good for 60
   * seconds and for one use.
   */
  assertion(options: { clientId: string; issuer: string; nowSeconds: number }): string;
  /**
   * An actor token (RFC 8693 section 2.1): this agent's word that it will act, with the key that the
   * child token has to be bound to. Good for 120 seconds, at the issuer alone.
   */
  actorToken(options: {
    clientId: string;
    issuer: string;
    nowSeconds: number;
    jkt: string;
  }): string;
};

/** The key that tokens are bound to. */
export type ProofKey = {
  /** Its thumbprint (RFC 7638). */
  readonly jkt: string;
  /** A proof for one request (RFC 9449 section 4.2), with a `jti` of its own. */
  prove(request: {
    method: string;
    url: string;
    accessToken?: string;
    nonce?: string;
    body?: Uint8Array;
  }): string;
  /** One more link behind a token that is bound to this key, with an id of its own. */
  link(next: Omit<NewLink, 'id' | 'signer'>): ReturnType<typeof createLink>;
};

const ASSERTION_SECONDS = 60;
const ACTOR_TOKEN_SECONDS = 120;

/** Reads the client's key. Throws AgentError `OPTION_INVALID`. */
export function clientKey(jwk: PrivateJwk): ClientKey {
  const signer = readKey(jwk, 'key');
  return {
    assertion: ({ clientId, issuer, nowSeconds }) =>
      signer.sign(
        { typ: 'client-authentication+jwt' },
        {
          iss: clientId,
          sub: clientId,
          aud: issuer,
          jti: randomId(),
          iat: nowSeconds,
          exp: nowSeconds + ASSERTION_SECONDS,
        },
      ),
    actorToken: ({ clientId, issuer, nowSeconds, jkt }) =>
      signer.sign(
        { typ: 'remit-actor+jwt' },
        {
          iss: clientId,
          sub: clientId,
          aud: issuer,
          jti: randomId(),
          iat: nowSeconds,
          exp: nowSeconds + ACTOR_TOKEN_SECONDS,
          cnf: { jkt },
        },
      ),
  };
}

/** Reads the key to bind to, or makes one that never leaves this process. */
export function proofKey(jwk: PrivateJwk | undefined, clock: () => number): ProofKey {
  const signer = readKey(jwk ?? newKey(), 'proofKey');
  return {
    jkt: signer.kid,
    prove: (request) =>
      createProof({ signer, ...request, nowSeconds: clock() / 1000, jti: randomId() }),
    link: (next) => createLink({ ...next, signer, id: randomId() }),
  };
}

/** P-256: the one algorithm that every verifier of proofs knows. */
function newKey(): PrivateJwk {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }) };
}

function readKey(jwk: PrivateJwk, option: string): Signer {
  let signer: Signer;
  try {
    signer = importSigner(jwk);
  } catch (cause) {
    if (!(cause instanceof TokenError)) throw cause;
    throw new AgentError('OPTION_INVALID', `${option} is not a usable private key`, {
      details: { option },
      cause,
    });
  }
  if (signer.alg === 'ES256' || signer.alg === 'Ed25519') return signer;
  throw new AgentError('OPTION_INVALID', `${option} is neither an Ed25519 nor a P-256 key`, {
    details: { option, alg: signer.alg },
  });
}

function randomId(): string {
  return randomBytes(16).toString('base64url');
}
