import { type KeyObject, sign, verify } from 'node:crypto';
import { parseCheckpoint } from './checkpoint.ts';
import { LedgerError } from './error.ts';
import type { NoteSigner, NoteVerifier } from './note.ts';
import {
  ed25519Verifier,
  keyObject,
  SIGNATURE_TYPES,
  typed,
  type VerifierKey,
  verifierKey,
} from './note-keys.ts';

const LABEL = Buffer.from('subtree/v1\n\0');
const TIMESTAMP_BYTES = 8;
const SIGNATURE_BYTES = 2_420;
const ED25519_BYTES = 64;

/**
 * Cosigns checkpoints with an ML-DSA-44 private key (type 0x06): with the root it signs the time,
 * the log and its own name. `nowSeconds` is the clock. A log signs its own checkpoints with it too,
 * under its origin. C2SP tlog-cosignature v1.1, "ML-DSA-44 signed message".
 */
export function mlDsa44Cosigner(
  name: string,
  privateKey: KeyObject,
  nowSeconds: () => number,
): NoteSigner {
  const { keyId } = typed(verifierKey(name, privateKey), SIGNATURE_TYPES.mlDsa44Cosignature);
  return {
    name,
    keyId,
    sign(text) {
      const timestamp = uint64(nowSeconds());
      const message = cosignedMessage(name, timestamp, text);
      return Buffer.concat([timestamp, sign(null, message, privateKey)]);
    },
  };
}

/**
 * Verifies ML-DSA-44 cosignatures (type 0x06) of checkpoints. Does not judge their time: that of a
 * signature is read with {@link cosignatureTime}.
 */
export function mlDsa44Verifier(key: VerifierKey): NoteVerifier {
  const publicKey = keyObject(typed(key, SIGNATURE_TYPES.mlDsa44Cosignature));
  return {
    name: key.name,
    keyId: key.keyId,
    verify(text, signature) {
      if (signature.length !== TIMESTAMP_BYTES + SIGNATURE_BYTES) return false;
      const timestamp = signature.subarray(0, TIMESTAMP_BYTES);
      const message = cosignedMessage(key.name, timestamp, text);
      return verify(null, message, publicKey, signature.subarray(TIMESTAMP_BYTES));
    },
  };
}

/**
 * Cosigns checkpoints with an Ed25519 private key (type 0x04): signs the time and the whole text, but
 * not its own name, so a key is one cosigner's alone. C2SP tlog-cosignature v1, "Ed25519 signed message".
 */
export function ed25519Cosigner(
  name: string,
  privateKey: KeyObject,
  nowSeconds: () => number,
): NoteSigner {
  const key = verifierKey(name, privateKey, { cosigner: true });
  const { keyId } = typed(key, SIGNATURE_TYPES.ed25519Cosignature);
  return {
    name,
    keyId,
    sign(text) {
      const now = nowSeconds();
      parseCheckpoint(text);
      return Buffer.concat([uint64(now), sign(null, timedText(now, text), privateKey)]);
    },
  };
}

/** The verifier of a key, whatever its type: of notes, or of cosignatures of checkpoints. */
export function noteVerifier(key: VerifierKey): NoteVerifier {
  if (key.type === SIGNATURE_TYPES.ed25519) return ed25519Verifier(key);
  if (key.type === SIGNATURE_TYPES.mlDsa44Cosignature) return mlDsa44Verifier(key);
  const publicKey = keyObject(typed(key, SIGNATURE_TYPES.ed25519Cosignature));
  return {
    name: key.name,
    keyId: key.keyId,
    verify(text, signature) {
      if (signature.length !== TIMESTAMP_BYTES + ED25519_BYTES) return false;
      const message = timedText(cosignatureTime(signature), text);
      return verify(null, message, publicKey, signature.subarray(TIMESTAMP_BYTES));
    },
  };
}

/** When a cosignature was made, epoch seconds. */
export function cosignatureTime(signature: Uint8Array): number {
  return Number(Buffer.from(signature).readBigUInt64BE());
}

/** The `cosigned_message` structure: a checkpoint is the subtree from 0 to its size. */
function cosignedMessage(name: string, timestamp: Uint8Array, text: string): Buffer {
  const { origin, size, root } = parseCheckpoint(text);
  return Buffer.concat([
    LABEL,
    opaque(name),
    timestamp,
    opaque(origin),
    uint64(0),
    uint64(size),
    root,
  ]);
}

function timedText(seconds: number, text: string): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);
}

function opaque(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length === 0 || bytes.length > 255) {
    throw new LedgerError('CHECKPOINT_MALFORMED', 'a cosigned name has 1 to 255 bytes');
  }
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
