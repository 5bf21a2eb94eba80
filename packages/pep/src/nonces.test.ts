import { expect, it } from 'vitest';
import { createNonces } from './nonces.ts';

it('are random, change every minute, and the one before is taken for another', () => {
  let now = 0;
  const nonces = createNonces({ monotonicMs: () => now });
  const first = nonces.current();
  expect(first).toMatch(/^[\w-]{22}$/);
  expect(createNonces({ monotonicMs: () => now }).current()).not.toBe(first);
  now = 59_999;
  expect(nonces.accepted()).toEqual([first]);
  now = 60_000;
  const second = nonces.current();
  expect(second).not.toBe(first);
  expect(nonces.accepted()).toEqual([second, first]);
  now = 119_999;
  expect(nonces.accepted()).toEqual([second, first]);
  now = 120_000;
  expect(nonces.accepted()).not.toContain(first);
});

// Red when a long silence is taken for one change.
it('are all new after nobody called for two minutes', () => {
  let now = 0;
  const nonces = createNonces({ monotonicMs: () => now });
  const first = nonces.current();
  now = 120_000;
  expect(nonces.accepted()).toHaveLength(1);
  expect(nonces.accepted()).not.toContain(first);
});
