import type { Source } from '../store/positions.ts';

/** Whether what feeds the feed is up to date: registry and policy events, each within a bound. */
export type SourceWatch = {
  /** A verified beat of a source: its newest committed event. False when it is old news. */
  beat(source: Source, beat: { boot: string; n: number; time: number; head: number }): boolean;
  /** Events of a source are taken in up to here. */
  reached(source: Source, position: number): void;
  /** Why nothing may be called fresh because of this source, or null. */
  late(source: Source): string | null;
  /**
   * The head of a beat that has been waited for longer than `gapMs` without any event coming in:
   * what lies before it will not come any more. Undefined when there is none.
   */
  lost(source: Source, gapMs: number): number | undefined;
  /**
   * The head of a source whose beats have named one below what was taken in for longer than `gapMs`:
   * its store was put back, and its next events will have numbers that were seen. Undefined otherwise.
   */
  wentBack(source: Source, gapMs: number): number | undefined;
  /** Seconds since everything was taken in that a source had said. */
  ageSeconds(source: Source): number;
};

type State = {
  boots: Map<string, { n: number; time: number }>;
  waiting: { atMs: number; head: number }[];
  position: number;
  movedAtMs: number;
  heardAtMs: number | null;
  currentAtMs: number | null;
  /** Since when beats have named a head below the position, and which. */
  below: { sinceMs: number; head: number } | null;
};

const MAX_BOOTS = 16;
const MAX_WAITING = 256;

/**
 * Follows the beats of registry and pdp. A source is in time while the youngest beat whose head is
 * taken in came within `maxLateMs` (default 1000). `monotonicMs` is the caller's clock.
 */
export function createSourceWatch(options: {
  monotonicMs: () => number;
  maxLateMs?: number;
}): SourceWatch {
  const { monotonicMs, maxLateMs = 1_000 } = options;
  const states: Record<Source, State> = { registry: newState(), pdp: newState() };

  function newState(): State {
    return {
      boots: new Map(),
      waiting: [],
      position: 0,
      movedAtMs: monotonicMs(),
      heardAtMs: null,
      currentAtMs: null,
      below: null,
    };
  }

  return {
    beat: (source, { boot, n, time, head }) => {
      const state = states[source];
      const known = state.boots.get(boot);
      if (known && (n <= known.n || time < known.time)) return false;
      if (!known) {
        // A recorded beat of an earlier boot is older than what that source said since.
        const newest = Math.max(0, ...[...state.boots.values()].map((other) => other.time));
        if (time + maxLateMs < newest) return false;
        if (state.boots.size >= MAX_BOOTS) {
          state.boots.delete(state.boots.keys().next().value as string);
        }
      }
      state.boots.set(boot, { n, time });
      const nowMs = monotonicMs();
      state.heardAtMs = nowMs;
      state.below = head < state.position ? { sinceMs: state.below?.sinceMs ?? nowMs, head } : null;
      if (head <= state.position) state.currentAtMs = nowMs;
      else if (state.waiting.length < MAX_WAITING) state.waiting.push({ atMs: nowMs, head });
      return true;
    },
    reached: (source, position) => {
      const state = states[source];
      if (position === state.position) return;
      const forward = position > state.position;
      state.position = position;
      state.below = null;
      if (!forward) return;
      state.movedAtMs = monotonicMs();
      const done = state.waiting.filter(({ head }) => head <= position);
      for (const { atMs } of done) state.currentAtMs = Math.max(state.currentAtMs ?? 0, atMs);
      state.waiting = state.waiting.filter(({ head }) => head > position);
    },
    late: (source) => {
      const { heardAtMs, currentAtMs } = states[source];
      const nowMs = monotonicMs();
      if (heardAtMs === null || nowMs - heardAtMs > maxLateMs) {
        return `the ${source} has not been heard for a second`;
      }
      if (currentAtMs === null || nowMs - currentAtMs > maxLateMs) {
        return `changes of the ${source} have not arrived for a second`;
      }
      const { below } = states[source];
      if (below !== null && nowMs - below.sinceMs > maxLateMs) {
        return `the ${source} went back to an older store`;
      }
      return null;
    },
    wentBack: (source, gapMs) => {
      const { below } = states[source];
      if (below === null || monotonicMs() - below.sinceMs <= gapMs) return undefined;
      return below.head;
    },
    lost: (source, gapMs) => {
      const { waiting, movedAtMs } = states[source];
      const [oldest] = waiting;
      const nowMs = monotonicMs();
      if (!oldest || nowMs - oldest.atMs <= gapMs || nowMs - movedAtMs <= gapMs) return undefined;
      return oldest.head;
    },
    ageSeconds: (source) => {
      const { currentAtMs } = states[source];
      return currentAtMs === null
        ? Number.POSITIVE_INFINITY
        : (monotonicMs() - currentAtMs) / 1_000;
    },
  };
}
