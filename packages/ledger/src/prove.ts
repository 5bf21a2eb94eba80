import { LedgerError } from './error.ts';
import { checkHash, emptyRoot, nodeHash } from './hash.ts';
import { exactLog2, largestPowerBelow } from './powers.ts';

/**
 * Levels of a tile: a store that keeps the leaf hashes (level 0) and the complete subtrees of the
 * levels 8, 16, 24 … answers every proof with a few short ranges and 1/255 more rows.
 */
export const TILE_HEIGHT = 8;

/**
 * Reads `count` neighbouring hashes of one level from a store, level 0 being the leaves. Asked only
 * for levels that are a multiple of {@link TILE_HEIGHT}, only for complete subtrees, and never for
 * more than 128 at a time.
 */
export type HashReader = (
  level: number,
  start: number,
  count: number,
) => Promise<readonly Uint8Array[]>;

/**
 * The proof that the leaf `index` (from 0) is in the tree of `size` leaves: at most ceil(log2 size)
 * hashes, the lowest first. RFC 9162 section 2.1.3.1.
 * Throws LedgerError `RANGE_INVALID`, `READER_INCOMPLETE`.
 */
export async function inclusionProof(
  read: HashReader,
  index: number,
  size: number,
): Promise<Uint8Array[]> {
  checkRange(index, size - 1);
  const proof: Uint8Array[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const split = start + largestPowerBelow(end - start);
    if (index < split) {
      proof.push(await rangeRoot(read, split, end));
      end = split;
    } else {
      proof.push(await rangeRoot(read, start, split));
      start = split;
    }
  }
  return proof.toReversed();
}

/**
 * The proof that the tree of `newSize` leaves begins with the tree of `oldSize` leaves. Empty when
 * the sizes are equal or the old tree is. RFC 9162 section 2.1.4.1.
 * Throws LedgerError `RANGE_INVALID`, `READER_INCOMPLETE`.
 */
export async function consistencyProof(
  read: HashReader,
  oldSize: number,
  newSize: number,
): Promise<Uint8Array[]> {
  checkRange(oldSize, newSize);
  if (oldSize === 0) return [];
  const proof: Uint8Array[] = [];
  let start = 0;
  let end = newSize;
  while (oldSize < end) {
    const split = start + largestPowerBelow(end - start);
    if (oldSize <= split) {
      proof.push(await rangeRoot(read, split, end));
      end = split;
    } else {
      proof.push(await rangeRoot(read, start, split));
      start = split;
    }
  }
  // The old tree's root is known to whoever asks, unless it isn't a subtree of the new one.
  if (start > 0) proof.push(await rangeRoot(read, start, end));
  return proof.toReversed();
}

/** The root of the first `size` leaves, from a store's hashes. */
export async function rootAt(read: HashReader, size: number): Promise<Uint8Array> {
  checkRange(size, Number.MAX_SAFE_INTEGER);
  return size === 0 ? emptyRoot() : rangeRoot(read, 0, size);
}

/** MTH(D[start:end]) where `start` is a multiple of the smallest power of two ≥ end − start. */
async function rangeRoot(read: HashReader, start: number, end: number): Promise<Uint8Array> {
  const count = end - start;
  const level = exactLog2(count);
  if (level !== undefined) return subtree(read, level, start / count);
  const split = start + largestPowerBelow(count);
  const left = await rangeRoot(read, start, split);
  return nodeHash(left, await rangeRoot(read, split, end));
}

async function subtree(read: HashReader, level: number, index: number): Promise<Uint8Array> {
  const above = level % TILE_HEIGHT;
  const count = 2 ** above;
  const hashes = await read(level - above, index * count, count);
  if (hashes.length !== count) {
    throw new LedgerError('READER_INCOMPLETE', 'the store has not the hashes of the tree', {
      level: level - above,
      start: index * count,
      count,
      got: hashes.length,
    });
  }
  let row = hashes.map(checkHash);
  while (row.length > 1) {
    const pairs = row;
    row = Array.from({ length: pairs.length / 2 }, (_, i) =>
      nodeHash(pairs[2 * i] as Uint8Array, pairs[2 * i + 1] as Uint8Array),
    );
  }
  return row[0] as Uint8Array;
}

function checkRange(value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new LedgerError('RANGE_INVALID', 'there is no such position in the tree', { value, max });
  }
}
