import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { PublicJwk } from '@remit/contracts';
import { BusError } from './error.ts';
import { decodeBase64url } from './jws.ts';

/** An Ed25519 private key as a JWK (RFC 8037). */
export type PrivateJwk = {
  kty?: string | undefined;
  crv?: string | undefined;
  x?: string | undefined;
  d?: string | undefined;
  alg?: string | undefined;
  kid?: string | undefined;
  use?: string | undefined;
};

export type VerifyKey = { kid: string; key: KeyObject };
export type SigningKey = { kid: string; key: KeyObject; publicJwk: PublicJwk };

/** Reads an Ed25519 public key. Throws BusError `KEY_INVALID` for any other key and for a private one. */
export function importVerifyKey(jwk: PublicJwk): VerifyKey {
  if ('d' in jwk) throw new BusError('KEY_INVALID', 'a private key where a public one belongs');
  const x = ed25519X(jwk);
  const kid = ed25519Thumbprint(x);
  checkKid(jwk.kid, kid);
  try {
    return { kid, key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
  } catch (cause) {
    throw new BusError('KEY_INVALID', 'not an Ed25519 public key', { cause });
  }
}

/** Reads an Ed25519 private key. Throws BusError `KEY_INVALID`, which never holds the key. */
export function importSigningKey(jwk: PrivateJwk): SigningKey {
  const x = ed25519X(jwk);
  if (jwk.d === undefined || decodeBase64url(jwk.d)?.length !== 32) {
    throw new BusError('KEY_INVALID', 'not an Ed25519 private key');
  }
  const kid = ed25519Thumbprint(x);
  checkKid(jwk.kid, kid);
  let key: KeyObject;
  let ownX: string | undefined;
  try {
    key = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', x, d: jwk.d }, format: 'jwk' });
    ownX = createPublicKey(key).export({ format: 'jwk' }).x;
  } catch {
    // The cause is left out: what node says about a key may quote it.
    throw new BusError('KEY_INVALID', 'not an Ed25519 private key');
  }
  if (ownX !== x)
    throw new BusError('KEY_INVALID', 'the two halves of a key do not belong together');
  return {
    kid,
    key,
    publicJwk: { kty: 'OKP', crv: 'Ed25519', x, kid, alg: 'Ed25519', use: 'sig' },
  };
}

/** The `kid` of an Ed25519 key: its RFC 7638 thumbprint. */
function ed25519Thumbprint(x: string): string {
  return createHash('sha256')
    .update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`)
    .digest('base64url');
}

function ed25519X(jwk: Pick<PrivateJwk, 'kty' | 'crv' | 'x' | 'alg'>): string {
  const { kty, crv, x, alg } = jwk;
  if (kty !== 'OKP' || crv !== 'Ed25519' || x === undefined) {
    throw new BusError('KEY_INVALID', 'not an Ed25519 key', { details: { kty, crv } });
  }
  if (alg !== undefined && alg !== 'Ed25519') {
    throw new BusError('KEY_INVALID', 'a key for another algorithm', { details: { alg } });
  }
  if (decodeBase64url(x)?.length !== 32) {
    throw new BusError('KEY_INVALID', 'not an Ed25519 public key');
  }
  return x;
}

function checkKid(given: string | undefined, kid: string): void {
  if (given !== undefined && given !== kid) {
    throw new BusError('KEY_INVALID', 'kid is not the thumbprint of the key', {
      details: { given, kid },
    });
  }
}
