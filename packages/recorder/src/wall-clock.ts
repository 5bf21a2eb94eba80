/**
 * The wall clock in milliseconds with microseconds behind the point. It runs on the monotonic clock
 * and follows the system's as soon as the two differ by more than a millisecond.
 */
export function wallClock(): { now(): number } {
  let offsetMs = Date.now() - performance.now();
  return {
    now() {
      const wallMs = Date.now();
      const nowMs = offsetMs + performance.now();
      // Date.now() is cut to whole milliseconds, so it may lag by almost one.
      if (nowMs >= wallMs - 1 && nowMs <= wallMs + 2) return nowMs;
      offsetMs = wallMs - performance.now();
      return wallMs;
    },
  };
}
