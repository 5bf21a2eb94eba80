import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactAmount } from './budgets.ts';

describe('an amount', () => {
  it('is exact in ten-thousandths, whatever floating point makes of a product', () => {
    expect([0, -0, 1, 0.1, 0.2, 1.005, 4.35, 99_999_999_999, 1_234.5678].map(exactAmount)).toEqual([
      0, 0, 10_000, 1_000, 2_000, 10_050, 43_500, 999_999_999_990_000, 12_345_678,
    ]);
  });

  it('is any number of four decimals below 10^11, and the sum of parts is the sum of amounts', () => {
    const parts = fc.tuple(fc.nat(99_999_999), fc.nat(9_999));
    fc.assert(
      fc.property(parts, ([whole, fraction]) => {
        const text = `${whole}.${String(fraction).padStart(4, '0')}`;
        expect(exactAmount(Number(text))).toBe(whole * 10_000 + fraction);
      }),
    );
  });

  it.each([
    ...[-1, -0.0001, 0.00001, 1.00005, 1e11, 1e21, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY],
    ...['1', '', '1e3', null, undefined, true, [1], [[1]], { valueOf: () => 1 }, 1n],
  ])('is not %s', (value) => {
    expect(exactAmount(value)).toBeUndefined();
  });
});
