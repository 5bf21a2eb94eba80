/** How far one epoch's log is applied without a gap, and how far it is known to reach. */
export type LogPosition = {
  /** An entry was applied. */
  reach(seq: number): void;
  /** Everything up to `seq` was applied. */
  cover(seq: number): void;
  /** The committed head is at least `seq`. */
  raise(seq: number): void;
  applied(): number | undefined;
  head(): number;
  /** Times that an entry came with one before it missing. */
  gaps(): number;
};

/** Entries that may wait for the one before them. What comes beyond is asked for again. */
const MAX_AHEAD = 4_096;

export function createLogPosition(): LogPosition {
  const ahead = new Set<number>();
  let applied: number | undefined;
  let head = 0;
  let gaps = 0;

  const drain = (): void => {
    if (applied === undefined) return;
    while (ahead.delete(applied + 1)) applied++;
  };

  return {
    reach: (seq) => {
      head = Math.max(head, seq);
      if (applied !== undefined && seq <= applied) return;
      if (applied !== undefined && seq > applied + 1 && ahead.size === 0) gaps++;
      if (ahead.size < MAX_AHEAD || seq === (applied ?? 0) + 1) ahead.add(seq);
      drain();
    },
    cover: (seq) => {
      head = Math.max(head, seq);
      if (applied !== undefined && seq <= applied) return;
      applied = seq;
      for (const waiting of ahead) if (waiting <= seq) ahead.delete(waiting);
      drain();
    },
    raise: (seq) => {
      head = Math.max(head, seq);
    },
    applied: () => applied,
    head: () => head,
    gaps: () => gaps,
  };
}
