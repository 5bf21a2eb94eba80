import { isDeepStrictEqual } from 'node:util';
import { parseOperation, permits, scope } from '@remit/capability/scope';
import { expect, test } from 'vitest';

// What was checked is what the tool gets: one frozen copy, with one reading.

const orders = scope([
  {
    actions: ['orders.create'],
    resources: ['erp/orders'],
    args: ['amount', 'lines'],
    constraints: { amount: { max: 100 } },
  },
]);

// Hand the request itself on in place of the copy, and this goes red.
test('row 52: arguments that change after the check are not what the tool gets', () => {
  let reads = 0;
  const given = {
    get amount() {
      reads += 1;
      return reads === 1 ? 50 : 5_000;
    },
    lines: [{ item: 'paper' }],
  };
  const operation = parseOperation({
    action: 'orders.create',
    resource: 'erp/orders',
    args: given,
  });
  expect(permits(orders, operation).ok).toBe(true);
  given.lines[0] = { item: 'gold' };
  given.lines.push({ item: 'more' });
  expect(operation.args).toEqual({ amount: 50, lines: [{ item: 'paper' }] });
  const args = operation.args as Record<string, unknown>;
  expect(() => (args['amount'] = 5_000)).toThrow(TypeError);
  expect(() => (args['lines'] as unknown[]).push(1)).toThrow(TypeError);
});

test('row 52: the order of keys and the form of a number change neither verdict nor copy', () => {
  const read = (text: string) =>
    parseOperation({ action: 'orders.create', resource: 'erp/orders', args: JSON.parse(text) });
  const one = read('{"amount":100,"lines":["a"]}');
  for (const text of ['{"lines":["a"],"amount":1e2}', '{"amount":100.0,"lines":["\\u0061"]}']) {
    expect(permits(orders, read(text)).ok, text).toBe(true);
    expect(isDeepStrictEqual(read(text).args, one.args)).toBe(true);
  }
  for (const text of ['{"amount":100.00001}', '{"amount":"100"}', '{"amount":1e21}'])
    expect(permits(orders, read(text)).ok, text).toBe(false);
});
