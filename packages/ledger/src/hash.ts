import { hash } from 'node:crypto';
import { LedgerError } from './error.ts';

/** Bytes of every hash here: SHA-256. */
export const HASH_BYTES = 32;

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** The hash of an entry: SHA-256(0x00 ‖ entry). RFC 9162 section 2.1.1. */
export function leafHash(entry: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([LEAF, entry]), 'buffer');
}

/**
 * The hash of an inner node: SHA-256(0x01 ‖ left ‖ right). The two prefixes keep an entry from
 * being taken for a node. RFC 9162 section 2.1.1.
 */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([NODE, left, right], 1 + 2 * HASH_BYTES), 'buffer');
}

/** The root of the empty tree: SHA-256 of nothing. */
export function emptyRoot(): Buffer {
  return hash('sha256', '', 'buffer');
}

/** Whether two hashes are the same bytes. */
export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Throws LedgerError `HASH_MALFORMED` for anything but 32 bytes. */
export function checkHash(value: Uint8Array): Uint8Array {
  if (value.length !== HASH_BYTES) {
    throw new LedgerError('HASH_MALFORMED', 'a hash has 32 bytes', { length: value.length });
  }
  return value;
}
