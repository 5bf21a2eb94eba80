import { HASH_BYTES, nodeHash, sameHash } from './hash.ts';
import { exactLog2 } from './powers.ts';

/**
 * Whether a leaf hash is entry `index` (from 0) of the tree of `size` leaves with this root.
 * Does not check that the root is anybody's: that is the checkpoint's signature.
 * RFC 9162 section 2.1.3.2.
 */
export function verifyInclusion(claim: {
  leaf: Uint8Array;
  index: number;
  size: number;
  proof: readonly Uint8Array[];
  root: Uint8Array;
}): boolean {
  const { leaf, index, size, proof, root } = claim;
  if (!isSize(size) || !isSize(index) || index >= size) return false;
  if (![leaf, root, ...proof].every((hash) => hash.length === HASH_BYTES)) return false;
  let node = index;
  let last = size - 1;
  let hash: Uint8Array = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sibling, hash);
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && sameHash(hash, root);
}

/**
 * Whether the tree of `newSize` leaves with `newRoot` begins with the tree of `oldSize` leaves with
 * `oldRoot`. The empty tree is the beginning of every tree, and then says nothing about it.
 * RFC 9162 section 2.1.4.2.
 */
export function verifyConsistency(claim: {
  oldSize: number;
  oldRoot: Uint8Array;
  newSize: number;
  newRoot: Uint8Array;
  proof: readonly Uint8Array[];
}): boolean {
  const { oldSize, oldRoot, newSize, newRoot, proof } = claim;
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) return false;
  if (![oldRoot, newRoot, ...proof].every((hash) => hash.length === HASH_BYTES)) return false;
  if (oldSize === newSize) return proof.length === 0 && sameHash(oldRoot, newRoot);
  if (oldSize === 0) return proof.length === 0;
  const path = exactLog2(oldSize) !== undefined ? [oldRoot, ...proof] : proof;
  let node = oldSize - 1;
  let last = newSize - 1;
  while (node % 2 === 1) {
    node = (node - 1) / 2;
    last = Math.floor(last / 2);
  }
  const [first, ...rest] = path;
  if (first === undefined) return false;
  let oldHash: Uint8Array = first;
  let newHash: Uint8Array = first;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      oldHash = nodeHash(sibling, oldHash);
      newHash = nodeHash(sibling, newHash);
      while (node % 2 === 0 && node !== 0) {
        node /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      newHash = nodeHash(newHash, sibling);
    }
    node = Math.floor(node / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && sameHash(oldHash, oldRoot) && sameHash(newHash, newRoot);
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
