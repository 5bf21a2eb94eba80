import { appendLeaf, type Edge, edgeRoot } from './edge.ts';
import type { Fault } from './fault.ts';
import { sameHash } from './hash.ts';

/** The leaves since the last head that fitted. Those after the failing head are in it too. */
export type Window = { readonly from: Edge; readonly leaves: Uint8Array[] };

/** What is said of a deletion that left no gap. */
export const MOVED_UP = 'a record is gone and the later ones moved up';

/** Pairs of a longer window are tried only where they are neighbours: 64 leaves are 2,016 pairs. */
const MAX_ALL_PAIRS = 64;
const MAX_NEIGHBOURS = 512;

/**
 * Why a window of intact records doesn't have the root that a head says. Whoever moved or added a
 * row and kept every hash consistent is named exactly, by undoing it: the change after which the
 * root fits again is the one that was made. Anything else changed or lost bytes in the window.
 */
export function explain(
  head: { readonly size: number; readonly root: Uint8Array; readonly where: string },
  window: Window,
  size: number,
  largestHead: number,
): Fault {
  const { from } = window;
  const count = head.size - from.size;
  const leaves = window.leaves.slice(0, count);
  const fits = (candidate: readonly Uint8Array[]): boolean =>
    sameHash(edgeRoot(candidate.reduce((edge, leaf) => appendLeaf(edge, leaf), from)), head.root);

  const swap = leaves.length <= MAX_NEIGHBOURS ? swapped(leaves, fits) : undefined;
  if (swap) {
    const [a, b] = swap;
    const detail = 'two records stand in each other’s place';
    return { seq: from.size + a + 1, upTo: from.size + b + 1, kind: 'reorder', detail };
  }
  const extra = window.leaves[count];
  if (extra && count <= MAX_NEIGHBOURS) {
    const all = [...leaves, extra];
    const added = all.findIndex((_, i) => fits(all.toSpliced(i, 1)));
    if (added >= 0) {
      const seq = from.size + added + 1;
      return { seq, upTo: seq, kind: 'insert', detail: 'a record was put between the others' };
    }
  }
  const whole = { seq: from.size + 1, upTo: head.size };
  return size < largestHead
    ? { ...whole, kind: 'delete', detail: MOVED_UP }
    : {
        ...whole,
        kind: 'edit',
        detail: `records do not have the root of the head kept ${head.where}`,
      };
}

function swapped(
  leaves: readonly Uint8Array[],
  fits: (candidate: readonly Uint8Array[]) => boolean,
): [number, number] | undefined {
  const reach = leaves.length <= MAX_ALL_PAIRS ? leaves.length : 1;
  for (let a = 0; a < leaves.length; a++) {
    for (let b = a + 1; b < leaves.length && b <= a + reach; b++) {
      const candidate = leaves.slice();
      [candidate[a], candidate[b]] = [leaves[b] as Uint8Array, leaves[a] as Uint8Array];
      if (fits(candidate)) return [a, b];
    }
  }
  return undefined;
}
