import { openCheckpoint } from './checkpoint.ts';
import { appendLeaf, type Edge, edgeRoot, emptyEdge, type TreeNode } from './edge.ts';
import { LedgerError } from './error.ts';
import { explain, MOVED_UP, type Window } from './explain.ts';
import type { Fault, FaultKind } from './fault.ts';
import { leafHash, sameHash } from './hash.ts';
import type { NoteVerifier } from './note.ts';

/**
 * A stored record: the exact bytes that were hashed, and the leaf hash kept beside them. Of a record
 * that retention let go only the hash is left.
 */
export type LedgerRow = {
  readonly seq: number;
  readonly bytes: Uint8Array | undefined;
  readonly leafHash: Uint8Array;
};

/** A signed checkpoint as it was kept: in the ledger's own store, or outside of it. */
export type KeptCheckpoint = { readonly note: string; readonly where: 'inside' | 'outside' };

export type LedgerReport = {
  readonly ok: boolean;
  readonly size: number;
  readonly root: Uint8Array;
  /** The largest size whose root a signed checkpoint confirms. */
  readonly confirmed: number;
  /** Records of which only the hash is left. */
  readonly dropped: number;
  readonly checkpoints: { readonly inside: number; readonly outside: number };
  /** The lowest sequence first. */
  readonly faults: readonly Fault[];
};

export type VerifyInput = {
  /** In the order of their sequence, from 1. */
  readonly records: AsyncIterable<LedgerRow> | Iterable<LedgerRow>;
  /** Every checkpoint that is known, from both places. */
  readonly checkpoints: Iterable<KeptCheckpoint>;
  readonly origin: string;
  readonly verifiers: readonly NoteVerifier[];
  /** The edge that the store keeps; absent where there is only an export. */
  readonly edge?: Edge;
  /** Says what is wrong with a record beside its hash (its own text, its derived columns), if anything is. */
  readonly inspect?: (row: LedgerRow & { readonly bytes: Uint8Array }) => string | undefined;
  /**
   * Asked at the end: up to which sequence records may be gone with only their hash left. Default 0:
   * a record without its bytes is a deleted one.
   */
  readonly droppedUpTo?: () => number;
  /** Told of every complete subtree of the recomputed tree, so that a store can compare its own. */
  readonly onNode?: (node: TreeNode) => void;
};

type Head = { size: number; root: Uint8Array; where: 'inside' | 'outside' | 'edge' };

/**
 * Recomputes a ledger from its bytes and says what doesn't hold: every record against its leaf hash,
 * the sequence against its gaps, and the tree against every signed checkpoint and the stored edge.
 * Needs no trust in the store; what it finds is only as good as the checkpoints kept outside of it:
 * whoever can rewrite the store and holds no signing key can't make those agree.
 * Does not check who produced a record. Throws nothing for a bad ledger: it reports.
 */
export async function verifyLedger(input: VerifyInput): Promise<LedgerReport> {
  const faults: Fault[] = [];
  const heads = openHeads(input, faults);
  const counts = { inside: 0, outside: 0 };
  for (const head of heads) if (head.where !== 'edge') counts[head.where]++;

  let edge: Edge = emptyEdge;
  let confirmed = 0;
  let next = 0;
  let window: Window = { from: emptyEdge, leaves: [] };
  let broken: { head: Head; window: Window } | undefined;
  /** Where the first subtree ends that the stored edge knows otherwise. */
  let misplaced: number | undefined;
  const kept = subtreesOf(input.edge);
  let dropped = 0;
  let lastDropped = 0;
  let firstDropped: number | undefined;
  const edited: { seq: number; computed: Uint8Array; stored: Uint8Array }[] = [];

  const meetHeads = (): void => {
    const here: Head[] = [];
    for (let head = heads[next]; head && head.size === edge.size; head = heads[++next]) {
      here.push(head);
    }
    if (here.length === 0) return;
    const root = edgeRoot(edge);
    const [unfit] = here.filter((head) => !sameHash(head.root, root));
    const signed = here.some((head) => head.where !== 'edge' && sameHash(head.root, root));
    if (signed) {
      // A signed head agrees with the records, so one that doesn't is of another signed history.
      if (broken) faults.push(misfit(broken.head, broken.window.from.size + 1));
      if (unfit) faults.push(misfit(unfit, confirmed + 1));
      broken = undefined;
      confirmed = edge.size;
    } else if (unfit) {
      broken ??= { head: unfit, window };
    }
    if (signed || !unfit) window = { from: edge, leaves: [] };
  };

  meetHeads();
  for await (const row of input.records) {
    if (row.seq !== edge.size + 1) {
      const missing = row.seq > edge.size;
      const at = missing ? edge.size + 1 : row.seq;
      faults.push({
        seq: at,
        upTo: missing ? row.seq - 1 : row.seq,
        kind: missing ? 'delete' : 'insert',
        detail: missing ? 'the sequence has a gap' : 'a sequence appears out of its order',
      });
      return report(faults, edge, confirmed, counts, dropped);
    }
    const { seq, bytes } = row;
    if (bytes === undefined) {
      dropped++;
      firstDropped ??= seq;
      lastDropped = seq;
    } else {
      const computed = leafHash(bytes);
      if (sameHash(computed, row.leafHash)) {
        const wrong = input.inspect?.({ ...row, bytes });
        if (wrong !== undefined) faults.push(fault('edit', seq, seq, wrong));
      } else {
        edited.push({ seq, computed, stored: row.leafHash });
      }
    }
    edge = appendLeaf(edge, row.leafHash, (node) => {
      input.onNode?.(node);
      if (misplaced === undefined && kept.disagrees(node)) misplaced = endOfNode(node);
    });
    // Behind a head that doesn't fit, explain looks at one leaf more.
    if (!broken || edge.size <= broken.head.size + 1)
      (broken?.window ?? window).leaves.push(row.leafHash);
    meetHeads();
  }

  for (const { seq, computed, stored } of edited) {
    const moved = edited.some(
      (other) => sameHash(other.computed, stored) || sameHash(other.stored, computed),
    );
    const detail = moved
      ? 'the bytes are those of another sequence'
      : 'the bytes are not those that were hashed';
    faults.push(fault(moved ? 'reorder' : 'edit', seq, seq, detail));
  }
  if (broken) faults.push(explain(broken.head, broken.window, edge.size, heads.at(-1)?.size ?? 0));
  else if (misplaced !== undefined && next < heads.length) {
    faults.push(fault('delete', confirmed + 1, misplaced, MOVED_UP));
  } else faults.push(...missingTail(heads.slice(next), edge.size));
  if (input.edge && input.edge.size < edge.size) {
    const detail = 'the ledger holds more records than its head says';
    faults.push(fault('insert', input.edge.size + 1, edge.size, detail));
  }
  const mayGo = input.droppedUpTo?.() ?? 0;
  if (firstDropped !== undefined && lastDropped > mayGo) {
    const from = Math.max(firstDropped, mayGo + 1);
    faults.push(fault('delete', from, lastDropped, 'a record is gone that no retention let go'));
  }
  return report(faults, edge, confirmed, counts, dropped);
}

function openHeads(input: VerifyInput, faults: Fault[]): Head[] {
  const heads: Head[] = [];
  for (const { note, where } of input.checkpoints) {
    try {
      const { size, root } = openCheckpoint(note, input);
      heads.push({ size, root, where });
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error;
      faults.push(fault('checkpoint', 0, 0, `a checkpoint kept ${where} fails: ${error.message}`));
    }
  }
  if (input.edge) {
    heads.push({ size: input.edge.size, root: edgeRoot(input.edge), where: 'edge' });
  }
  return heads.toSorted((a, b) => a.size - b.size);
}

/** The complete subtrees that an edge is made of: they reach as far as a cut ledger still does. */
function subtreesOf(edge: Edge | undefined): { disagrees(node: TreeNode): boolean } {
  const known = new Map<string, Uint8Array>();
  let rest = edge?.size ?? 0;
  for (const hash of edge?.hashes ?? []) {
    let level = 0;
    while (2 ** (level + 1) <= rest) level++;
    known.set(`${level}/${((edge?.size ?? 0) - rest) / 2 ** level}`, hash);
    rest -= 2 ** level;
  }
  return {
    disagrees({ level, index, hash }) {
      const mine = known.get(`${level}/${index}`);
      return mine !== undefined && !sameHash(mine, hash);
    },
  };
}

function endOfNode({ level, index }: TreeNode): number {
  return (index + 1) * 2 ** level;
}

/** Heads larger than the ledger: who still knows of the records says what happened to them. */
function missingTail(missed: readonly Head[], size: number): Fault[] {
  const last = missed.at(-1);
  if (last === undefined) return [];
  const known = missed.some((head) => head.where !== 'outside');
  const detail = known
    ? 'the ledger ends before its own head'
    : 'the ledger is older than a checkpoint kept outside';
  return [
    fault(known ? 'truncation' : 'restored_backup', size + 1, last.size, detail),
    ...missed
      .filter((head, i) => {
        const before = missed[i - 1];
        return before?.size === head.size && !sameHash(before.root, head.root);
      })
      .map((head) => misfit(head, head.size)),
  ];
}

function misfit(head: Head, seq: number): Fault {
  return head.where === 'edge'
    ? fault('edit', seq, head.size, 'the stored right edge is not the one of the records')
    : fault(
        'fork',
        seq,
        head.size,
        `two signed histories: a checkpoint of ${head.size} records kept ${head.where} fits only the other`,
      );
}

function fault(kind: FaultKind, seq: number, upTo: number, detail: string): Fault {
  return { seq, upTo, kind, detail };
}

function report(
  faults: Fault[],
  edge: Edge,
  confirmed: number,
  checkpoints: LedgerReport['checkpoints'],
  dropped: number,
): LedgerReport {
  const sorted = faults.toSorted((a, b) => a.seq - b.seq);
  const root = edgeRoot(edge);
  return {
    ok: sorted.length === 0,
    size: edge.size,
    root,
    confirmed,
    dropped,
    checkpoints,
    faults: sorted,
  };
}
