/**
 * What the view can't explain, until a head asked for later explains it: an event or beat of an
 * unknown epoch, a beat from the future. Nothing is fresh while a doubt stands. A question is the
 * same raised by a token, which must not make the view deny everybody else.
 */
export type Doubts = {
  doubt(atMs: number, epoch?: string): void;
  question(atMs: number, epoch?: string): void;
  stands(): boolean;
  asks(): boolean;
  /** A head whose request was sent at `sentAtMs` named the epoch: what was seen until then is not it. */
  settle(sentAtMs: number, current: string): void;
  /** Whether an epoch is known to be over. */
  ended(epoch: string): boolean;
  end(epoch: string): void;
};

const MAX_ENDED = 256;
const MAX_SUSPECTS = 64;

export function createDoubts(): Doubts {
  const over = new Set<string>();
  const suspects = new Map<string, number>();
  let doubtAtMs: number | null = null;
  let questionAtMs: number | null = null;

  const end = (epoch: string): void => {
    over.add(epoch);
    if (over.size > MAX_ENDED) over.delete(over.values().next().value as string);
  };
  const suspect = (epoch: string | undefined, atMs: number): void => {
    if (epoch === undefined) return;
    if (suspects.has(epoch) || suspects.size < MAX_SUSPECTS) suspects.set(epoch, atMs);
  };

  return {
    doubt: (atMs, epoch) => {
      doubtAtMs = Math.max(doubtAtMs ?? atMs, atMs);
      suspect(epoch, atMs);
    },
    question: (atMs, epoch) => {
      questionAtMs = Math.max(questionAtMs ?? atMs, atMs);
      suspect(epoch, atMs);
    },
    stands: () => doubtAtMs !== null,
    asks: () => questionAtMs !== null,
    settle: (sentAtMs, current) => {
      if (doubtAtMs !== null && doubtAtMs <= sentAtMs) doubtAtMs = null;
      if (questionAtMs !== null && questionAtMs <= sentAtMs) questionAtMs = null;
      for (const [epoch, atMs] of suspects) {
        // In one instant either may have been first: an epoch that began then is not over.
        if (atMs >= sentAtMs) continue;
        suspects.delete(epoch);
        if (epoch !== current) end(epoch);
      }
    },
    ended: (epoch) => over.has(epoch),
    end,
  };
}
