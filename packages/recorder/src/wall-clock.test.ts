import { describe, expect, it } from 'vitest';
import { wallClock } from './wall-clock.ts';

describe('the wall clock', () => {
  it('is the system’s to two milliseconds and finer than a millisecond', () => {
    const clock = wallClock();
    const fractions = new Set<number>();
    for (let i = 0; i < 2_000; i++) {
      const before = Date.now();
      const now = clock.now();
      expect(now).toBeGreaterThanOrEqual(before - 2);
      expect(now).toBeLessThanOrEqual(Date.now() + 3);
      fractions.add(now % 1);
    }
    expect(fractions.size).toBeGreaterThan(2);
  });
});
