import { LedgerError } from './error.ts';
import { checkHash, emptyRoot, HASH_BYTES, nodeHash } from './hash.ts';

/**
 * The right edge of a tree: the roots of its complete subtrees from left to right, one for each set
 * bit of `size`, the largest first. All that an append or the root needs.
 */
export type Edge = { readonly size: number; readonly hashes: readonly Uint8Array[] };

/** A complete subtree: 2^level leaves from `index` · 2^level on. */
export type TreeNode = {
  readonly level: number;
  readonly index: number;
  readonly hash: Uint8Array;
};

const SIZE_BYTES = 8;

/** The edge of the empty tree. */
export const emptyEdge: Edge = Object.freeze({ size: 0, hashes: Object.freeze([]) });

/**
 * The edge after one more leaf hash, in O(log n). `onNode` is told of every complete subtree that
 * the leaf finishes, the leaf itself included (level 0), smallest first.
 * Throws LedgerError `HASH_MALFORMED`.
 */
export function appendLeaf(edge: Edge, leaf: Uint8Array, onNode?: (node: TreeNode) => void): Edge {
  const hashes = edge.hashes.slice();
  let hash: Uint8Array = checkHash(leaf);
  let index = edge.size;
  onNode?.({ level: 0, index, hash });
  // As in binary addition: each trailing one of the size is a subtree that the carry swallows.
  for (let level = 1; index % 2 === 1; level++) {
    hash = nodeHash(hashes.pop() as Uint8Array, hash);
    index = (index - 1) / 2;
    onNode?.({ level, index, hash });
  }
  hashes.push(hash);
  return { size: edge.size + 1, hashes };
}

/** The root of the tree with this edge. RFC 9162 section 2.1.1. */
export function edgeRoot(edge: Edge): Uint8Array {
  const last = edge.hashes.at(-1);
  if (last === undefined) return emptyRoot();
  return edge.hashes.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last);
}

/** An edge as bytes: its size (uint64, big-endian) and its hashes. */
export function encodeEdge(edge: Edge): Uint8Array {
  const size = Buffer.alloc(SIZE_BYTES);
  size.writeBigUInt64BE(BigInt(edge.size));
  return Buffer.concat([size, ...edge.hashes]);
}

/** The inverse of {@link encodeEdge}. Throws LedgerError `EDGE_MALFORMED`. */
export function decodeEdge(bytes: Uint8Array): Edge {
  const buffer = Buffer.from(bytes);
  const body = buffer.length - SIZE_BYTES;
  if (body < 0 || body % HASH_BYTES !== 0) {
    throw new LedgerError('EDGE_MALFORMED', 'an edge is a size and whole hashes');
  }
  const size = buffer.readBigUInt64BE();
  const count = body / HASH_BYTES;
  if (size > BigInt(Number.MAX_SAFE_INTEGER) || ones(size) !== count) {
    throw new LedgerError('EDGE_MALFORMED', "an edge's hashes are not those of its size", {
      hashes: count,
    });
  }
  const hashes = Array.from({ length: count }, (_, i) =>
    buffer.subarray(SIZE_BYTES + i * HASH_BYTES, SIZE_BYTES + (i + 1) * HASH_BYTES),
  );
  return { size: Number(size), hashes };
}

function ones(value: bigint): number {
  let count = 0;
  for (let rest = value; rest > 0n; rest >>= 1n) count += Number(rest & 1n);
  return count;
}
