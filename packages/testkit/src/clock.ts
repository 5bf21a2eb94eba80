export type FixedClock = {
  /** Milliseconds since 1970. */
  now(): number;
  /** Whole seconds since 1970, as tokens count. */
  nowSeconds(): number;
  /** Milliseconds that only move forward. */
  monotonicMs(): number;
  advance(ms: number): void;
  /** Sets the wall clock, back too; the monotonic clock stays. */
  set(now: number | string): void;
};

/** A clock that moves when the test says so. Starts at 2026-01-15T12:00:00Z. */
export function fixedClock(start: number | string = '2026-01-15T12:00:00Z'): FixedClock {
  let wall = new Date(start).getTime();
  let monotonic = 1_000;
  return {
    now: () => wall,
    nowSeconds: () => Math.floor(wall / 1000),
    monotonicMs: () => monotonic,
    advance(ms) {
      wall += ms;
      monotonic += ms;
    },
    set(now) {
      wall = new Date(now).getTime();
    },
  };
}
