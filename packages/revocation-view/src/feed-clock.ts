/**
 * How much faster or slower than the feed's clock the caller's may run. A tie grows uncertain by
 * this share of its age, so a view that can't renew it ends up stale instead of wrong.
 */
const DRIFT = 0.001;

/** The feed's clock as known here: an interval, from a signed answer to a fresh nonce. */
export type FeedClock = {
  /** An answer that said `timeMs` was made between `sentAtMs` and `receivedAtMs`. */
  tie(timeMs: number, sentAtMs: number, receivedAtMs: number): void;
  /** The latest that the feed's clock can show at `nowMs`. */
  atMost(nowMs: number): number | undefined;
  /** The earliest. Never goes back, whatever a later tie says. */
  atLeast(nowMs: number): number | undefined;
  /** When the last tie was received, and its round trip. */
  tied(): { atMs: number; roundTripMs: number } | undefined;
};

export function createFeedClock(): FeedClock {
  let latest: { timeMs: number; atMs: number; roundTripMs: number; receivedAtMs: number } | null =
    null;
  let earliest: { timeMs: number; atMs: number } | null = null;

  const atLeast = (nowMs: number): number | undefined =>
    earliest === null
      ? undefined
      : earliest.timeMs + Math.max(0, nowMs - earliest.atMs) * (1 - DRIFT);

  return {
    tie: (timeMs, sentAtMs, receivedAtMs) => {
      const roundTripMs = receivedAtMs - sentAtMs;
      latest = { timeMs, atMs: sentAtMs, roundTripMs, receivedAtMs };
      const floor = atLeast(receivedAtMs);
      if (floor === undefined || timeMs > floor) earliest = { timeMs, atMs: receivedAtMs };
    },
    atMost: (nowMs) => {
      if (latest === null) return undefined;
      const upper = latest.timeMs + Math.max(0, nowMs - latest.atMs) * (1 + DRIFT);
      return Math.max(upper, atLeast(nowMs) ?? upper);
    },
    atLeast,
    tied: () =>
      latest === null ? undefined : { atMs: latest.receivedAtMs, roundTripMs: latest.roundTripMs },
  };
}
