import { sign } from 'node:crypto';
import type { PublicJwk, SignedType } from '@remit/contracts';
import { BusError } from './error.ts';
import { importSigningKey, type PrivateJwk } from './keys.ts';

/** A signer file: the first key signs, all are published, so that a next key is known in time. */
export type PrivateJwks = { readonly keys: readonly PrivateJwk[] };

export type Signer = {
  /** RFC 7638 thumbprint of the key that signs. */
  readonly kid: string;
  /** Signs the exact bytes as a compact JWS, `alg` Ed25519, header `{alg, kid, typ}`. */
  sign(typ: SignedType, payload: Uint8Array | string): string;
  /** The public halves of all keys, for `/.well-known/jwks.json`. */
  publicJwks(): { keys: PublicJwk[] };
};

/**
 * Makes a signer of a service's private Ed25519 keys; one key set per purpose, never shared.
 * Throws BusError `KEY_INVALID` for an empty set, another kind of key, or a `kid` that is not the
 * key's thumbprint. RFC 7515, RFC 8037, RFC 9864 (`Ed25519`).
 */
export function createSigner(jwks: PrivateJwks): Signer {
  const keys = jwks.keys.map(importSigningKey);
  const [current] = keys;
  if (current === undefined) throw new BusError('KEY_INVALID', 'a signer needs a key');
  const headers = new Map<string, string>();

  function header(typ: string): string {
    let encoded = headers.get(typ);
    if (encoded === undefined) {
      const json = JSON.stringify({ alg: 'Ed25519', kid: current?.kid, typ });
      encoded = Buffer.from(json).toString('base64url');
      headers.set(typ, encoded);
    }
    return encoded;
  }

  return {
    kid: current.kid,
    sign(typ, payload) {
      const body = typeof payload === 'string' ? Buffer.from(payload, 'utf8') : toBuffer(payload);
      const signingInput = `${header(typ)}.${body.toString('base64url')}`;
      const signature = sign(null, Buffer.from(signingInput, 'latin1'), current.key);
      return `${signingInput}.${signature.toString('base64url')}`;
    },
    publicJwks: () => ({ keys: keys.map((key) => ({ ...key.publicJwk })) }),
  };
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
