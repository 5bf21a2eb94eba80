import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import type { PublicJwk, TrustFile } from '@remit/contracts';
import {
  ed25519Signer,
  mlDsa44Cosigner,
  type NoteSigner,
  type NoteVerifier,
  noteVerifier,
  type VerifierKey,
  verifierKey,
} from '@remit/ledger';
import { type Clock, nowSeconds, readJsonFile } from '@remit/service-kit';
import { AuditError } from '../error.ts';

/** Who signs and who checks the checkpoints of each tenant's log. */
export type CheckpointKeys = {
  /** The log's name: the deployment's origin and the tenant. */
  origin(tenant: string): string;
  signers(tenant: string): readonly NoteSigner[];
  /** Of the pinned keys in the trust file, never of the signer file. */
  verifiers(tenant: string): readonly NoteVerifier[];
  /** The same as keys that a client is given. */
  vkeys(tenant: string): readonly VerifierKey[];
  publicJwks(): PublicJwk[];
};

/**
 * Reads the signer file of checkpoints. The first Ed25519 key signs, the first ML-DSA-44 key cosigns.
 * Each that signs must be pinned in the trust file: what nobody can check is not signed. Every pinned
 * key verifies, so that a key can be replaced: pin the next one everywhere, then put it first in the
 * signer file, and keep the old one pinned for the checkpoints that it signed.
 * Throws AuditError `CHECKPOINT_KEY_INVALID`.
 */
export function readCheckpointKeys(path: string, trust: TrustFile, clock: Clock): CheckpointKeys {
  const keys = privateKeys(path);
  const ed25519 = keys.find((key) => key.asymmetricKeyType === 'ed25519');
  // The type names of Node's declarations end before ML-DSA.
  const mlDsa = keys.find((key) => String(key.asymmetricKeyType) === 'ml-dsa-44');
  if (ed25519 === undefined) throw invalid(path, 'holds no Ed25519 key');
  const pinned = trust.keys.checkpoint.map((jwk) => createPublicKey({ key: jwk, format: 'jwk' }));
  for (const key of [ed25519, ...(mlDsa ? [mlDsa] : [])]) {
    if (pinned.some((known) => known.equals(createPublicKey(key)))) continue;
    throw invalid(path, 'signs with a key that the trust file does not name');
  }
  const origin = (tenant: string): string => `${trust.checkpoint_origin}/${tenant}`;
  const vkeys = (tenant: string): VerifierKey[] =>
    pinned.map((key) => verifierKey(origin(tenant), key));
  return {
    origin,
    signers: (tenant) => [
      ed25519Signer(origin(tenant), ed25519),
      ...(mlDsa ? [mlDsa44Cosigner(origin(tenant), mlDsa, () => nowSeconds(clock))] : []),
    ],
    verifiers: (tenant) => vkeys(tenant).map(noteVerifier),
    vkeys,
    publicJwks: () =>
      keys.map((key) => createPublicKey(key).export({ format: 'jwk' }) as PublicJwk),
  };
}

function privateKeys(path: string): KeyObject[] {
  const value = readJsonFile(path);
  const jwks = value && typeof value === 'object' && 'keys' in value ? value.keys : undefined;
  if (!Array.isArray(jwks)) throw invalid(path, 'is not a signer file');
  return jwks.map((jwk) => {
    try {
      return createPrivateKey({ key: jwk as never, format: 'jwk' });
    } catch {
      // The cause could hold a part of the key.
      throw invalid(path, 'holds a key that cannot be read');
    }
  });
}

function invalid(path: string, why: string): AuditError {
  return new AuditError('CHECKPOINT_KEY_INVALID', `${path} ${why}.`, { path });
}
