import { describe, expect, it } from 'vitest';
import {
  LIMITS,
  meet,
  narrower,
  parseOperation,
  permits,
  samples,
  scope,
  within,
} from './index.ts';

const READ = { actions: ['suppliers.read'], resources: ['erp/suppliers/*'], args: [] };
const ORDER = {
  actions: ['orders.create'],
  resources: ['erp/orders'],
  args: ['amount', 'supplier'],
  constraints: { amount: { min: 1, max: 100 }, supplier: { in: ['S-1'], optional: true } },
};

function ask(of: unknown, action: string, resource: string, args: object = {}) {
  return permits(scope(of), parseOperation({ action, resource, args }));
}

describe('narrower', () => {
  const parent = scope([ORDER]);
  const amount = (tests: object) =>
    scope([{ ...ORDER, constraints: { ...ORDER.constraints, amount: tests } }]);

  it('shows what is given up', () => {
    expect(narrower(amount({ min: 1, max: 99 }), parent)?.args).toEqual({ amount: 100 });
    expect(narrower(amount({ min: 2, max: 100 }), parent)?.args).toEqual({ amount: 1 });
    const dropped = scope([
      { ...ORDER, args: ['amount'], constraints: { amount: { min: 1, max: 100 } } },
    ]);
    expect(narrower(dropped, parent)?.args).toEqual({ amount: 1, supplier: 'S-1' });
    expect(narrower(scope([]), parent)).toBeDefined();
    const anything = scope([{ ...READ, args: 'any' }]);
    expect(narrower(scope([{ ...READ, args: ['a'] }]), anything)).toBeDefined();
    expect(
      narrower(scope([{ ...READ, resources: ['erp/suppliers/S-*'] }]), scope([READ])),
    ).toBeDefined();
  });

  it('shows nothing for the same scope or a wider one', () => {
    expect(narrower(parent, parent)).toBeUndefined();
    expect(narrower(amount({ min: 1, max: 101 }), parent)).toBeUndefined();
    expect(narrower(amount({ min: 0, max: 50 }), parent)).toBeUndefined();
  });

  it('samples stars empty and filled, and ** short and long', () => {
    const resources = samples(scope([{ ...READ, resources: ['erp/S-*/**'] }])).map(
      (s) => s.resource,
    );
    expect(resources).toContain('erp/S-/~');
    expect(resources.some((name) => name.split('/').length === 5)).toBe(true);
    expect(resources.some((name) => name.startsWith('erp/S-~'))).toBe(true);
  });
});

// Worst inputs that the limits allow. Nothing is timed: a quadratic step over the text would run into
// the time limit of the test.
describe('hostile input', () => {
  it('costs no more than its size', () => {
    const long = 'a'.repeat(LIMITS.nameLength);
    const half = 'a'.repeat(LIMITS.nameLength / 2);
    const patterns = Array.from(
      { length: 24 },
      (_, i) => `${half}${'b'.repeat(i)}*${half.slice(i)}`,
    );
    const wide = scope(
      Array.from({ length: 64 }, (_, i) => ({
        actions: [`x${i}`],
        resources: patterns,
        args: 'any',
      })),
    );
    for (let i = 0; i < 64; i += 1) expect(ask(wide, `x${i}`, long).ok).toBe(true);
    expect(within(wide, wide)).toBe(true);
    meet(wide, wide);
    const keys = Object.fromEntries(Array.from({ length: 9000 }, (_, i) => [`k${i}`, 1]));
    expect(ask(wide, 'x63', long, keys).ok).toBe(true);
  });

  it('meets overlapping stars without growing past the limit', () => {
    const run = 'a'.repeat(250);
    const a = scope([{ ...READ, resources: [`${run}*`] }]);
    const b = scope([{ ...READ, resources: [`*${run}`] }]);
    expect(meet(a, b)).toEqual({ ok: false, code: 'SCOPE_TOO_LARGE' });
  });
});
