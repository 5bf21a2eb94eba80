/** Draws that follow from a seed. What processes do in answer to them still depends on the machine. */
export type Random = {
  next(): number;
  chance(share: number): boolean;
  pick<T>(from: readonly T[]): T;
  between(low: number, high: number): number;
};

/** mulberry32: small, and the same everywhere. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    chance: (share) => next() < share,
    pick: (from) => from[Math.floor(next() * from.length)] as (typeof from)[number],
    between: (low, high) => low + next() * (high - low),
  };
}
