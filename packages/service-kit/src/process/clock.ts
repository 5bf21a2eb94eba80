/** Time as services take it. Tests hand in their own. */
export type Clock = {
  /** Milliseconds since the epoch. */
  now: () => number;
};

/** The machine's wall clock. */
export const systemClock: Clock = { now: () => Date.now() };

/** Whole seconds since the epoch, as JWT times are. */
export function nowSeconds(clock: Clock): number {
  return Math.floor(clock.now() / 1_000);
}
