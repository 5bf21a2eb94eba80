import { appendLeaf, type Edge, emptyEdge } from './edge.ts';
import { leafHash } from './hash.ts';
import { type HashReader, TILE_HEIGHT } from './prove.ts';

/** The edge of a list of entries. Test support. */
export function edgeOf(entries: readonly Uint8Array[]): Edge {
  return entries.reduce<Edge>((edge, entry) => appendLeaf(edge, leafHash(entry)), emptyEdge);
}

/** A store of hashes in memory that keeps what a real one keeps. Test support. */
export function storeOf(entries: readonly Uint8Array[]): HashReader {
  const levels = new Map<number, Uint8Array[]>();
  let edge: Edge = emptyEdge;
  for (const entry of entries) {
    edge = appendLeaf(edge, leafHash(entry), ({ level, index, hash }) => {
      if (level % TILE_HEIGHT !== 0) return;
      const row = levels.get(level) ?? [];
      row[index] = hash;
      levels.set(level, row);
    });
  }
  return async (level, start, count) => (levels.get(level) ?? []).slice(start, start + count);
}
