import { deflateSync } from 'node:zlib';

/** Sets the bit of an index: entries of one bit, packed from the least significant one. */
export function setBit(bits: Uint8Array, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= bits.length * 8) {
    throw new RangeError('a status index is outside its list');
  }
  bits[index >> 3] = (bits[index >> 3] as number) | (1 << (index & 7));
}

/**
 * The `status_list` claim of a list of one-bit statuses: zlib (RFC 1950) at the highest level,
 * base64url without padding. Token Status List, section 4.
 */
export function statusListClaim(bits: Uint8Array): { bits: 1; lst: string } {
  return { bits: 1, lst: deflateSync(bits, { level: 9 }).toString('base64url') };
}
