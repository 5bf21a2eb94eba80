import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';
import { LedgerError } from './error.ts';
import { isKeyName, type NoteSigner, type NoteVerifier } from './note.ts';

/** Bytes that name the algorithm of a note signature. C2SP signed-note v1, "Signature types". */
export const SIGNATURE_TYPES = {
  ed25519: 0x01,
  ed25519Cosignature: 0x04,
  mlDsa44Cosignature: 0x06,
} as const;
export type SignatureType = (typeof SIGNATURE_TYPES)[keyof typeof SIGNATURE_TYPES];

const PUBLIC_KEY_BYTES: Record<SignatureType, number> = { 1: 32, 4: 32, 6: 1_312 };
const VKEY = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u;

/** A verifier key: what a client is given of a signer. */
export type VerifierKey = {
  readonly name: string;
  readonly keyId: number;
  readonly type: SignatureType;
  readonly publicKey: Uint8Array;
};

/** The id of a key: the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key), big-endian. */
export function noteKeyId(name: string, type: SignatureType, publicKey: Uint8Array): number {
  const input = Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(type), publicKey]);
  return hash('sha256', input, 'buffer').readUInt32BE();
}

/**
 * The verifier key of a public (or private) Ed25519 or ML-DSA-44 key under a name. An Ed25519 key signs
 * notes as they are; that of a witness, which signs the time as well, is a `cosigner`.
 */
export function verifierKey(name: string, key: KeyObject, { cosigner = false } = {}): VerifierKey {
  if (!isKeyName(name)) throw new LedgerError('VKEY_MALFORMED', 'not a key name', { name });
  const type = typeOf(key, cosigner);
  const jwk = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  const publicKey = Buffer.from(String(jwk['x'] ?? jwk['pub']), 'base64url');
  return { name, type, publicKey, keyId: noteKeyId(name, type, publicKey) };
}

/** A verifier key as text: `<name>+<hex key id>+<base64 of type and public key>`. */
export function formatVkey({ name, keyId, type, publicKey }: VerifierKey): string {
  const id = keyId.toString(16).padStart(8, '0');
  return `${name}+${id}+${Buffer.concat([Buffer.of(type), publicKey]).toString('base64')}`;
}

/** The inverse of {@link formatVkey}. Throws LedgerError `VKEY_MALFORMED`, `KEY_UNSUPPORTED`. */
export function parseVkey(vkey: string): VerifierKey {
  const [, name, id, encoded] = VKEY.exec(vkey) ?? [];
  if (name === undefined || id === undefined || encoded === undefined || !isKeyName(name)) {
    throw new LedgerError('VKEY_MALFORMED', 'not a verifier key');
  }
  const bytes = Buffer.from(encoded, 'base64');
  const type = bytes[0];
  const publicKey = bytes.subarray(1);
  if (!isSignatureType(type)) {
    throw new LedgerError('KEY_UNSUPPORTED', 'the signature type is not supported', { type });
  }
  const keyId = Number.parseInt(id, 16);
  if (
    publicKey.length !== PUBLIC_KEY_BYTES[type] ||
    bytes.toString('base64') !== encoded ||
    noteKeyId(name, type, publicKey) !== keyId
  ) {
    throw new LedgerError('VKEY_MALFORMED', "the key is not the one of the vkey's id", { name });
  }
  return { name, keyId, type, publicKey };
}

/** The public key of a verifier key. */
export function keyObject({ type, publicKey }: VerifierKey): KeyObject {
  const value = Buffer.from(publicKey).toString('base64url');
  const jwk =
    type === SIGNATURE_TYPES.mlDsa44Cosignature
      ? { kty: 'AKP', alg: 'ML-DSA-44', pub: value }
      : { kty: 'OKP', crv: 'Ed25519', x: value };
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch (cause) {
    throw new LedgerError('KEY_UNSUPPORTED', 'not a usable public key', { cause: String(cause) });
  }
}

/** Signs the text of notes with an Ed25519 private key (type 0x01). */
export function ed25519Signer(name: string, privateKey: KeyObject): NoteSigner {
  const { keyId } = typed(verifierKey(name, privateKey), SIGNATURE_TYPES.ed25519);
  return { name, keyId, sign: (text) => sign(null, Buffer.from(text), privateKey) };
}

/** Verifies signatures of an Ed25519 key (type 0x01). */
export function ed25519Verifier(key: VerifierKey): NoteVerifier {
  const publicKey = keyObject(typed(key, SIGNATURE_TYPES.ed25519));
  return {
    name: key.name,
    keyId: key.keyId,
    verify: (text, signature) => verify(null, Buffer.from(text), publicKey, signature),
  };
}

/** The key, when it has the type. Throws LedgerError `KEY_UNSUPPORTED`. */
export function typed(key: VerifierKey, type: SignatureType): VerifierKey {
  if (key.type !== type) {
    throw new LedgerError('KEY_UNSUPPORTED', 'the key is of another type', { type: key.type });
  }
  return key;
}

function isSignatureType(type: number | undefined): type is SignatureType {
  return type !== undefined && Object.hasOwn(PUBLIC_KEY_BYTES, type);
}

function typeOf(key: KeyObject, cosigner: boolean): SignatureType {
  const name: string | undefined = key.asymmetricKeyType;
  if (name === 'ed25519') {
    return cosigner ? SIGNATURE_TYPES.ed25519Cosignature : SIGNATURE_TYPES.ed25519;
  }
  if (name === 'ml-dsa-44') return SIGNATURE_TYPES.mlDsa44Cosignature;
  throw new LedgerError('KEY_UNSUPPORTED', 'only Ed25519 and ML-DSA-44 keys sign notes', {
    type: name ?? key.type,
  });
}
