import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseOperation, ScopeError } from './index.ts';
import { configureRuns } from './test-support/runs.ts';

beforeAll(configureRuns);

const OPERATION = { action: 'orders.create', resource: 'erp/orders', args: { amount: 5 } };

function refusal(input: unknown): string {
  try {
    parseOperation(input);
  } catch (error) {
    if (error instanceof ScopeError) return error.code;
  }
  return expect.fail('not refused');
}

const withArgs = (args: unknown) => ({ ...OPERATION, args });

describe('an operation', () => {
  it('is copied once and frozen to the bottom, so what is checked is what the tool gets', () => {
    const args = { list: [{ a: 1 }], amount: -0 };
    const operation = parseOperation(withArgs(args));
    (args.list[0] as { a: number }).a = 2;
    expect(operation.args).toEqual({ list: [{ a: 1 }], amount: 0 });
    expect(Object.is(operation.args['amount'], 0)).toBe(true);
    const list = operation.args['list'] as { a: number }[];
    expect(() => {
      (list[0] as { a: number }).a = 3;
    }).toThrow(TypeError);
    expect(() => list.push({ a: 4 })).toThrow(TypeError);
  });

  it('reads each argument once, also from a getter that changes its answer', () => {
    let reads = 0;
    const args = {
      get amount() {
        reads += 1;
        return reads === 1 ? 5 : 1_000_000;
      },
    };
    expect(parseOperation(withArgs(args)).args).toEqual({ amount: 5 });
    expect(reads).toBe(1);
  });

  it('has no arguments when none are given', () => {
    expect(parseOperation({ action: 'a', resource: 'b' }).args).toEqual({});
  });

  it.each([
    ['null', null, 'OPERATION_INVALID'],
    ['a list', [], 'OPERATION_INVALID'],
    ['an extra member', { ...OPERATION, user: 'alice' }, 'OPERATION_INVALID'],
    ['a pattern as action', { ...OPERATION, action: 'orders.*' }, 'ACTION_INVALID'],
    ['no action', { resource: 'a' }, 'ACTION_INVALID'],
    ['an action of 513 characters', { ...OPERATION, action: 'a'.repeat(513) }, 'ACTION_INVALID'],
    ['a dot segment', { ...OPERATION, resource: 'erp/../hr' }, 'RESOURCE_INVALID'],
    ['a percent-escape', { ...OPERATION, resource: 'erp/%2e%2e/hr' }, 'RESOURCE_INVALID'],
    ['a double escape', { ...OPERATION, resource: 'erp/%252e' }, 'RESOURCE_INVALID'],
    ['a double slash', { ...OPERATION, resource: 'erp//orders' }, 'RESOURCE_INVALID'],
    ['a leading slash', { ...OPERATION, resource: '/erp' }, 'RESOURCE_INVALID'],
    ['a trailing slash', { ...OPERATION, resource: 'erp/' }, 'RESOURCE_INVALID'],
    ['a backslash', { ...OPERATION, resource: 'erp\\orders' }, 'RESOURCE_INVALID'],
    ['a path parameter', { ...OPERATION, resource: 'erp/a;x=1' }, 'RESOURCE_INVALID'],
    ['a NUL', { ...OPERATION, resource: 'erp/a\u0000' }, 'RESOURCE_INVALID'],
    ['a decomposed letter', { ...OPERATION, resource: 'erp/e\u0301' }, 'RESOURCE_INVALID'],
    ['a zero-width joiner', { ...OPERATION, resource: 'erp/a\u200db' }, 'RESOURCE_INVALID'],
    ['a right-to-left override', { ...OPERATION, resource: 'erp/\u202eb' }, 'RESOURCE_INVALID'],
    ['33 segments', { ...OPERATION, resource: Array(33).fill('a').join('/') }, 'RESOURCE_INVALID'],
    ['args as a list', withArgs([1]), 'ARGUMENT_INVALID'],
    ['args as null', withArgs(null), 'ARGUMENT_INVALID'],
    ['an empty key', withArgs({ '': 1 }), 'ARGUMENT_INVALID'],
    ['a dotted key', withArgs({ 'a.b': 1 }), 'ARGUMENT_INVALID'],
    ['a dotted key inside a list', withArgs({ a: [{ 'b.c': 1 }] }), 'ARGUMENT_INVALID'],
    ['an own __proto__', withArgs(JSON.parse('{"__proto__":{"a":1}}')), 'ARGUMENT_INVALID'],
    ['a constructor', withArgs({ a: { constructor: 1 } }), 'ARGUMENT_INVALID'],
    ['undefined', withArgs({ a: undefined }), 'ARGUMENT_INVALID'],
    ['NaN', withArgs({ a: Number.NaN }), 'ARGUMENT_INVALID'],
    ['infinity', withArgs({ a: Number.POSITIVE_INFINITY }), 'ARGUMENT_INVALID'],
    ['a date', withArgs({ a: new Date(0) }), 'ARGUMENT_INVALID'],
    ['a function', withArgs({ toJSON: () => 1 }), 'ARGUMENT_INVALID'],
    ['a hole in a list', withArgs({ a: [1, , 2] }), 'ARGUMENT_INVALID'], // oxlint-disable-line no-sparse-arrays
    ['10,001 values', withArgs({ a: Array(10_001).fill(1) }), 'ARGUMENT_INVALID'],
    ['a huge text', withArgs({ a: 'x'.repeat(262_145) }), 'ARGUMENT_INVALID'],
  ])('is refused for %s', (_, input, code) => {
    expect(refusal(input)).toBe(code);
  });

  it('is refused when its arguments are nested past 32 levels or contain themselves', () => {
    let deep: object = {};
    for (let i = 0; i < 40; i += 1) deep = { a: deep };
    expect(refusal(withArgs(deep))).toBe('ARGUMENT_INVALID');
    const loop: { a?: object } = {};
    loop.a = loop;
    expect(refusal(withArgs(loop))).toBe('ARGUMENT_INVALID');
  });

  it('never throws anything but its own error, and keeps JSON as it is', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true }), (a) => {
        try {
          parseOperation(withArgs({ a }));
        } catch (error) {
          expect(error).toBeInstanceOf(ScopeError);
        }
      }),
    );
    const key = fc
      .string()
      .filter((k) => k !== '' && !/[.]|^(__proto__|constructor|prototype)$/.test(k));
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
      ),
    })).value;
    fc.assert(
      fc.property(json, (a) => {
        expect(parseOperation(withArgs({ a })).args).toEqual({ a });
      }),
    );
  });
});
