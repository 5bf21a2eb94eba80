import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  describeExcess,
  describeMiss,
  excess,
  isSingle,
  meet,
  parseOperation,
  permits,
  ScopeError,
  scope,
  within,
} from './index.ts';
import { configureRuns } from './test-support/runs.ts';

beforeAll(configureRuns);

const READ = { actions: ['suppliers.read'], resources: ['erp/suppliers/*'], args: [] };
const ORDER = {
  actions: ['orders.create'],
  resources: ['erp/orders'],
  args: ['amount', 'supplier'],
  constraints: { amount: { min: 1, max: 100 }, supplier: { in: ['S-1'], optional: true } },
};

const normal = (...permissions: unknown[]) => scope(permissions).permissions;
const names = (count: number) => Array.from({ length: count }, (_, i) => `a${i}`);
const stars = (i: number) => ({ actions: [`a${i}*`], resources: ['**'], args: [] });
const ends = (i: number) => ({ actions: [`*b${i}`], resources: ['**'], args: [] });
const amount = (min: number, max: number) => ({
  ...ORDER,
  constraints: { amount: { min, max } },
});

function refusal(input: unknown): ScopeError {
  try {
    scope(input);
  } catch (error) {
    if (error instanceof ScopeError) return error;
  }
  return expect.fail('not refused');
}

function ask(of: unknown, action: string, resource: string, args: object = {}) {
  return permits(scope(of), parseOperation({ action, resource, args }));
}

describe('a written scope', () => {
  it.each([
    ['nothing', undefined],
    ['a text', 'suppliers.*'],
    ['an object without permissions', {}],
    ['an unknown member', { permissions: [], extra: 1 }],
    ['an unknown member of a permission', [{ ...READ, effect: 'allow' }]],
    ['an unknown test', [{ ...READ, constraints: { a: { regex: '.*' } } }]],
    ['an unknown test in each', [{ ...READ, constraints: { a: { each: { optional: true } } } }]],
    ['missing actions', [{ resources: ['a'], args: [] }]],
    ['missing resources', [{ actions: ['a'], args: [] }]],
    ['missing args', [{ actions: ['a'], resources: ['a'] }]],
    ['null args', [{ ...READ, args: null }]],
    ['actions as text', [{ ...READ, actions: 'suppliers.read' }]],
    ['a check of another kind', [{ ...READ, check: 'offline' }]],
    ['a dotted reserved path', [{ ...READ, args: ['a.__proto__'] }]],
    ['an empty path', [{ ...READ, args: [''] }]],
    ['a bound as text', [{ ...READ, constraints: { a: { min: '1' } } }]],
    ['like as text', [{ ...READ, constraints: { a: { like: 'S-*' } } }]],
    ['optional as text', [{ ...READ, constraints: { a: { optional: 'yes' } } }]],
    ['a negative count', [{ ...READ, constraints: { a: { maxItems: -1 } } }]],
    ['a class instance', [new Map()]],
    ['an own __proto__', [JSON.parse('{"__proto__":{},"actions":[],"resources":[],"args":[]}')]],
  ])('is refused for %s', (_, input) => {
    const error = refusal(input);
    expect(error.code).toBe('SCOPE_INVALID');
    expect(error.message).not.toBe('');
  });

  it('is told where it is wrong', () => {
    const error = refusal([READ, { ...ORDER, constraints: { amount: { min: NaN } } }]);
    expect(error.context.at).toEqual([1, 'constraints', 'amount', 'min']);
    const unknown = refusal([READ, { ...ORDER, constraints: { amount: { mn: 1 } } }]);
    expect(unknown.context.at).toEqual(['permissions', 1, 'constraints', 'amount', 'mn']);
    expect(unknown.message).toContain('"mn" is not known here');
  });

  it('never throws anything but its own error', () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: true, withBigInt: true }), (input) => {
        try {
          scope([input]);
        } catch (error) {
          expect(error).toBeInstanceOf(ScopeError);
        }
      }),
    );
  });

  it('is copied: what the author changes later changes nothing', () => {
    const actions = ['suppliers.read'];
    const made = scope([{ ...READ, actions }]);
    actions[0] = '**';
    expect(made.permissions[0]?.actions).toEqual(['suppliers.read']);
    expect(() => {
      (made.permissions[0] as { args: unknown }).args = 'any';
    }).toThrow(TypeError);
  });

  it('is taken by the algebra only when scope() made it', () => {
    const forged = { permissions: [{ actions: ['**'], resources: ['**'], args: 'any' }] } as never;
    const operation = parseOperation({ action: 'a', resource: 'b' });
    expect(() => permits(forged, operation)).toThrow(/not made by scope/);
    expect(() => permits(scope([READ]), { action: 'a', resource: 'b', args: {} } as never)).toThrow(
      /not made by parseOperation/,
    );
  });
});

describe('the normal form', () => {
  it('drops what admits nothing: empty or missing never means everything', () => {
    expect(normal({ ...READ, actions: [] })).toEqual([]);
    expect(normal({ ...READ, resources: [] })).toEqual([]);
    const required = (tests: object, args: unknown = ['a']) =>
      normal({ ...READ, args, constraints: { a: tests } });
    expect(required({ in: [] })).toEqual([]);
    expect(required({ like: [] })).toEqual([]);
    expect(required({ min: 2, max: 1 })).toEqual([]);
    expect(required({ min: 2, like: ['a'] })).toEqual([]);
    expect(required({ in: [1, 2], min: 3 })).toEqual([]);
    expect(required({ eq: 1, absent: true })).toEqual([]);
    expect(required({ eq: 1 }, ['b'])).toEqual([]);
    expect(required({ eq: 1 }, [])).toEqual([]);
    expect(required({ eq: 1 }, ['a.b'])).toEqual([]);
    expect(required({ eq: { b: 1 } }, ['a.b'])).toHaveLength(1);
  });

  it('turns what an optional argument can never be into its absence', () => {
    for (const tests of [{ in: [] }, { min: 2, max: 1 }, { min: 1, maxItems: 1 }]) {
      const [only] = normal({
        ...READ,
        args: ['a'],
        constraints: { a: { ...tests, optional: true } },
      });
      expect(only?.constraints).toEqual({ a: { absent: true } });
    }
    const [only] = normal({ ...READ, args: ['b'], constraints: { a: { eq: 1, optional: true } } });
    expect(only?.constraints).toEqual({ a: { absent: true } });
  });

  it('drops a permission and a pattern that lies within another', () => {
    expect(normal(READ, { ...READ, actions: ['suppliers.*'] })).toEqual([
      { ...READ, actions: ['suppliers.*'] },
    ]);
    expect(normal(READ, READ)).toHaveLength(1);
    expect(normal(READ, { ...READ, check: 'online' })).toEqual([READ]);
    expect(normal({ ...READ, actions: ['a.b', 'a.*', 'a.**'] })[0]?.actions).toEqual(['a.**']);
    expect(normal({ ...READ, args: ['a.b', 'a'] })[0]?.args).toEqual(['a']);
  });

  it('reads eq as in, filters in by the other tests and lowers hosts', () => {
    const [only] = normal({
      ...READ,
      args: 'any',
      constraints: {
        a: { in: [1, 2, 3], min: 2 },
        b: { eq: 'x' },
        c: { hosts: ['Corp.Example'] },
        d: { each: { in: [] } },
      },
    });
    expect(only?.constraints).toEqual({
      a: { in: [2, 3] },
      b: { in: ['x'] },
      c: { hosts: ['corp.example'] },
      d: { maxItems: 0 },
    });
  });

  it('keeps the limits and says so', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ ...READ, actions: [`a${i}`] }));
    expect(scope(many(64)).permissions).toHaveLength(64);
    expect(refusal(many(65)).code).toBe('SCOPE_TOO_LARGE');
    expect(scope([...many(64), ...many(64)]).permissions).toHaveLength(64);
    expect(refusal([{ ...READ, actions: names(65) }]).code).toBe('SCOPE_INVALID');
    expect(refusal([{ ...READ, resources: names(65) }]).code).toBe('SCOPE_INVALID');
    const like = { ...READ, args: 'any', constraints: { a: { like: names(65) } } };
    expect(refusal([like]).code).toBe('SCOPE_INVALID');
  });
});

describe('a meet that passes a limit', () => {
  it('is SCOPE_TOO_LARGE, not a smaller scope', () => {
    const a = scope(Array.from({ length: 9 }, (_, i) => stars(i)));
    const b = scope(Array.from({ length: 9 }, (_, i) => ends(i)));
    expect(meet(a, b)).toEqual({ ok: false, code: 'SCOPE_TOO_LARGE' });
    const one = scope([{ ...READ, actions: Array.from({ length: 9 }, (_, i) => `a${i}*`) }]);
    const other = scope([{ ...READ, actions: Array.from({ length: 9 }, (_, i) => `*b${i}`) }]);
    expect(meet(one, other)).toEqual({ ok: false, code: 'SCOPE_TOO_LARGE' });
  });
});

describe('the nearest miss', () => {
  it.each([
    ['contracts.read', 'erp/contracts/C-7', {}, 'The action contracts.read is not permitted.'],
    [
      'suppliers.read',
      'erp/contracts/C-7',
      {},
      'The action suppliers.read is permitted, but not on erp/contracts/C-7.',
    ],
    [
      'suppliers.read',
      'erp/suppliers/S-1',
      { full: true },
      'suppliers.read on erp/suppliers/S-1 is permitted, but not with the argument "full".',
    ],
    [
      'orders.create',
      'erp/orders',
      { amount: 101 },
      'orders.create on erp/orders is permitted, but the argument "amount" is above what is allowed, or not a number.',
    ],
    [
      'orders.create',
      'erp/orders',
      {},
      'orders.create on erp/orders is permitted, but the argument "amount" is missing.',
    ],
    [
      'orders.create',
      'erp/orders',
      { amount: 5, supplier: 'S-2' },
      'orders.create on erp/orders is permitted, but the argument "supplier" is none of the allowed values.',
    ],
  ])('of %s on %s with %j is told to a person', (action, resource, args, sentence) => {
    const result = ask([READ, ORDER], action, resource, args);
    expect(result.ok ? '' : describeMiss(result.miss)).toBe(sentence);
  });

  it('names a test for every kind, without a bound or a value', () => {
    const tests: [object, unknown, string][] = [
      [{ min: 77 }, 76, 'min'],
      [{ max: 77 }, 78, 'max'],
      [{ like: ['S77'] }, 'T78', 'like'],
      [{ emails: ['c77.test'] }, 'a@d78.test', 'emails'],
      [{ hosts: ['c77.test'] }, 'https://d78.test', 'hosts'],
      [{ maxLength: 1 }, 'T78', 'maxLength'],
      [{ maxItems: 0 }, [78], 'maxItems'],
      [{ each: { eq: 77 } }, [78], 'each'],
      [{ absent: true }, 78, 'absent'],
      [{}, 1e300, 'exact'],
      [{ min: 77 }, '78', 'min'],
    ];
    for (const [constraint, v, test] of tests) {
      const result = ask(
        [{ ...READ, args: 'any', constraints: { v: constraint } }],
        'suppliers.read',
        'erp/suppliers/x',
        { v },
      );
      if (result.ok) expect.fail(test);
      expect(result.miss).toMatchObject({ kind: 'constraint', path: 'v', test });
      expect(describeMiss(result.miss)).not.toMatch(/7[678]/);
    }
  });

  it('prefers a permission that needs no online decision', () => {
    const result = ask(
      [
        { ...READ, check: 'online' },
        { ...READ, actions: ['suppliers.read', 'x'] },
      ],
      'suppliers.read',
      'erp/suppliers/a',
    );
    expect(result).toEqual({ ok: true, permission: 0, online: false });
    const online = ask([{ ...READ, check: 'online' }], 'suppliers.read', 'erp/suppliers/a');
    expect(online).toEqual({ ok: true, permission: 0, online: true });
  });
});

describe('what is too much', () => {
  const parent = scope([READ, ORDER]);
  it.each([
    [
      { ...READ, actions: ['suppliers.*'] },
      { kind: 'action', action: 'suppliers.*' },
    ],
    [
      { ...READ, resources: ['erp/**'] },
      { kind: 'resource', resource: 'erp/**' },
    ],
    [{ ...READ, args: 'any' }, { kind: 'args' }],
    [
      { ...ORDER, constraints: {} },
      { kind: 'constraint', path: 'amount' },
    ],
    [
      { ...ORDER, constraints: { ...ORDER.constraints, amount: { min: 1 } } },
      { kind: 'constraint', path: 'amount' },
    ],
    [
      {
        ...ORDER,
        constraints: { ...ORDER.constraints, amount: { min: 1, max: 100, optional: true } },
      },
      { kind: 'constraint', path: 'amount' },
    ],
  ])('of %j is named', (child, expected) => {
    const made = scope([child]);
    expect(within(made, parent)).toBe(false);
    const found = excess(made, parent);
    expect(found).toMatchObject({ permission: 0, ...expected });
    expect(found && describeExcess(found)).not.toContain('100');
  });

  it('is also a local permission where only an online one is given', () => {
    const online = scope([{ ...READ, check: 'online' }]);
    expect(excess(scope([READ]), online)?.kind).toBe('check');
    expect(within(online, scope([READ]))).toBe(true);
  });

  it('says that ranges split over two permissions are not joined', () => {
    const split = scope([amount(0, 10), amount(10, 20)]);
    const found = excess(scope([amount(5, 15)]), split);
    expect(found && describeExcess(found)).toContain('ranges split over two are not joined');
  });

  it('is found per action and resource, which may be in different permissions', () => {
    const both = scope([{ ...READ, actions: ['a', 'b'], resources: ['x', 'y'] }]);
    const apart = scope([
      { ...READ, actions: ['a'], resources: ['x', 'y'] },
      { ...READ, actions: ['b'], resources: ['x', 'y'] },
    ]);
    expect(within(both, apart)).toBe(true);
    expect(within(apart, both)).toBe(true);
  });
});

describe('a single scope', () => {
  it('is one permission with one literal action on one literal resource', () => {
    const single = { ...READ, resources: ['erp/suppliers/S-1'] };
    expect(isSingle(scope([single]))).toBe(true);
    expect(isSingle(scope([READ]))).toBe(false);
    expect(isSingle(scope([single, ORDER]))).toBe(false);
    expect(isSingle(scope([{ ...single, actions: ['a', 'b'] }]))).toBe(false);
    expect(isSingle(scope([]))).toBe(false);
  });
});
