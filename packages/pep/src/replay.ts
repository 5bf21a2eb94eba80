/** What {@link ReplayMemory.claim} answers. `full` must be treated as a refusal. */
export type ReplayClaim = 'fresh' | 'replayed' | 'full';

/** Remembers which proofs were used at this PEP (RFC 9449 section 11.1). */
export type ReplayMemory = {
  claim(key: string, nowSeconds: number): ReplayClaim;
  size(): number;
};

/** The feed's clock is known to within a round trip, so a later tie may set it back by as much. */
const SET_BACK_SECONDS = 5;

/** How long a proof may be taken after it was first seen, by a clock that may be set back meanwhile. */
export const proofLifeSeconds = (windowSeconds: number): number =>
  2 * windowSeconds + SET_BACK_SECONDS;

/**
 * A memory of used proofs for as long as any of them could be accepted again: twice the window,
 * since a proof may be dated ahead of this clock by the window and is dead one window later; and
 * five seconds, by which the clock may be set back meanwhile.
 * Two generations are swapped instead of timing each entry, so an entry lives up to twice as long.
 * `maxEntries` (default 200,000) bounds each generation; past it every claim is `full`.
 */
export function createReplayMemory(options: {
  windowSeconds: number;
  maxEntries?: number;
}): ReplayMemory {
  const lifeSeconds = proofLifeSeconds(options.windowSeconds);
  const maxEntries = options.maxEntries ?? 200_000;
  let current = new Set<string>();
  let previous = new Set<string>();
  let turnedAt = Number.NEGATIVE_INFINITY;

  function turn(nowSeconds: number): void {
    const elapsed = nowSeconds - turnedAt;
    if (elapsed < lifeSeconds) return;
    previous = elapsed < 2 * lifeSeconds ? current : new Set();
    current = new Set();
    turnedAt = nowSeconds;
  }

  return {
    claim(key, nowSeconds) {
      turn(nowSeconds);
      if (current.has(key) || previous.has(key)) return 'replayed';
      if (current.size >= maxEntries) return 'full';
      current.add(key);
      return 'fresh';
    },
    size: () => current.size + previous.size,
  };
}
