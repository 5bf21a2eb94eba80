/** The largest power of two below `count`, which is at least 2. */
export function largestPowerBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}

/** The exponent when `count` is a power of two. Math.log2 rounds: it takes 2^52 − 1 for one. */
export function exactLog2(count: number): number | undefined {
  let level = 0;
  let power = 1;
  while (power < count) {
    power *= 2;
    level++;
  }
  return power === count ? level : undefined;
}
