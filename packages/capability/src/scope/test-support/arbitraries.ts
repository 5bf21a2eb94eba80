import * as fc from 'fast-check';
import type { WrittenOperation, WrittenPermission, WrittenTests } from './naive.ts';
import { tightenTests } from './narrow.ts';

// Small vocabularies, so that independent picks meet, overlap and just miss each other.
const literal = fc.constantFrom('a', 'b', 'ab', 'ba', 'aba', 'abba', 'é');
const starred = fc.constantFrom('*', 'a*', '*a', 'ab*', '*ba', 'ab*ba', 'b*', '*b');
const part = fc.oneof({ weight: 3, arbitrary: literal }, { weight: 2, arbitrary: starred });

function pattern(separator: string, first: fc.Arbitrary<string>) {
  return fc
    .tuple(first, fc.array(part, { maxLength: 2 }), fc.boolean())
    .map(([head, rest, deep]) => [head, ...rest, ...(deep ? ['**'] : [])].join(separator));
}

const actionPattern = fc.oneof(
  { weight: 1, arbitrary: fc.constant('**') },
  { weight: 5, arbitrary: pattern('.', part) },
);
const resourcePattern = fc.oneof(
  { weight: 1, arbitrary: fc.constant('erp/**') },
  { weight: 5, arbitrary: pattern('/', fc.constantFrom('erp', 'erp', 'e*')) },
);

const PATHS = ['x', 'y', 'x.p', 'x.q', 'x.p.r', 'x.0'];
const path = fc.constantFrom(...PATHS);

const number = fc.constantFrom(-1, 0, 1, 2, 2.5, 3, 10.125, 2 ** 53 - 1);
const oddNumber = fc.constantFrom(1e300, 0.00001, 2 ** 53, -0, 1e11 + 0.5, 3.14159);
const HOSTS = [
  'corp.example',
  '*.corp.example',
  'x.corp.example',
  '*.x.corp.example',
  'other.test',
];
const text = fc.constantFrom(
  '',
  'a',
  'ab',
  'aba',
  'ab/ba',
  'a b',
  '..',
  'a@corp.example',
  'a@CORP.example',
  'a@x.corp.example',
  'a@y.x.corp.example',
  'a@corp.example,b@other.test',
  'https://corp.example/',
  'https://x.corp.example:8443/p',
  'https://y.x.corp.example',
  'https://corp.example@other.test/',
  'http://corp.example/',
  '𝒳𝒳',
);
const scalar = fc.oneof(number, text, fc.constantFrom(true, false, null));
const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: scalar },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 3 }) },
  {
    weight: 1,
    arbitrary: fc.dictionary(fc.constantFrom('p', 'q', 'r', '0'), scalar, {
      maxKeys: 2,
      noNullPrototype: true,
    }),
  },
);

const some = <T>(one: fc.Arbitrary<T>, maxLength: number) => fc.array(one, { maxLength });
const hostList = some(fc.constantFrom(...HOSTS), 3);
const singleTest: fc.Arbitrary<WrittenTests> = fc.oneof(
  some(value, 3).map((list) => ({ in: list })),
  value.map((eq) => ({ eq })),
  number.map((min) => ({ min })),
  number.map((max) => ({ max })),
  fc.tuple(number, number).map(([min, max]) => ({ min, max })),
  some(pattern('/', part), 3).map((like) => ({ like })),
  hostList.map((emails) => ({ emails })),
  hostList.map((hosts) => ({ hosts })),
  fc.nat(4).map((maxLength) => ({ maxLength })),
  fc.nat(3).map((maxItems) => ({ maxItems })),
  fc.constant({}),
);
/** About texts, so that two of them can hold together. */
const textTest: fc.Arbitrary<WrittenTests> = fc.oneof(
  fc.array(pattern('/', part), { minLength: 1, maxLength: 3 }).map((like) => ({ like })),
  fc.array(fc.constantFrom(...HOSTS), { minLength: 1, maxLength: 3 }).map((emails) => ({ emails })),
  fc.integer({ min: 2, max: 40 }).map((maxLength) => ({ maxLength })),
);
const elementTests = fc.oneof(
  { weight: 4, arbitrary: singleTest },
  { weight: 2, arbitrary: fc.tuple(textTest, textTest).map(([a, b]) => ({ ...b, ...a })) },
  { weight: 2, arbitrary: fc.tuple(singleTest, singleTest).map(([a, b]) => ({ ...b, ...a })) },
);
const tests: fc.Arbitrary<WrittenTests> = fc
  .tuple(
    fc.oneof(
      { weight: 5, arbitrary: elementTests },
      { weight: 1, arbitrary: elementTests.map((each) => ({ each })) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(elementTests, fc.nat(2))
          .map(([each, maxItems]) => ({ each, maxItems })),
      },
      { weight: 1, arbitrary: fc.constant<WrittenTests>({ absent: true }) },
    ),
    fc.boolean(),
  )
  .map(([found, optional]) => (optional ? { ...found, optional } : found));

const constraints = fc.dictionary(path, tests, { maxKeys: 2, noNullPrototype: true });
const args = fc.oneof(
  { weight: 2, arbitrary: fc.constant<'any'>('any') },
  { weight: 3, arbitrary: fc.array(path, { maxLength: 3 }) },
);

const online = fc.nat(3).map((n) => (n === 0 ? { check: 'online' as const } : {}));
const names = fc.record({
  actions: fc.array(actionPattern, { minLength: 1, maxLength: 2 }),
  resources: fc.array(resourcePattern, { minLength: 1, maxLength: 2 }),
});
const SAME = { actions: ['a'], resources: ['erp/a'] };

/** Boxes that differ on all sides, only in their arguments, or only in their names. */
const permission: fc.Arbitrary<WrittenPermission> = fc.oneof(
  fc.tuple(names, args, constraints, online).map(([name, list, found, check]) => ({
    ...name,
    args: list,
    constraints: found,
    ...check,
  })),
  fc.tuple(args, constraints, online).map(([list, found, check]) => ({
    ...SAME,
    args: list,
    constraints: found,
    ...check,
  })),
  names.map((name) => ({ ...name, args: 'any' as const })),
);

/** A scope as written. */
export const written: fc.Arbitrary<WrittenPermission[]> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<WrittenPermission[]>([]) },
  { weight: 19, arbitrary: fc.array(permission, { minLength: 1, maxLength: 3 }) },
);

/** Two scopes whose permissions mostly share their names and differ in arguments and constraints. */
export const related: fc.Arbitrary<[WrittenPermission[], WrittenPermission[]]> = fc
  .array(fc.tuple(permission, args, constraints, online, fc.boolean()), {
    minLength: 1,
    maxLength: 2,
  })
  .map((list) => [
    list.map(([box]) => box),
    list.map(([box, given, found, check, both]) => ({
      actions: box.actions,
      resources: box.resources,
      args: given,
      constraints: both ? { ...box.constraints, ...found } : found,
      ...check,
    })),
  ]);

/** Scopes around the limits of a meet: many starred names, whose stars cross each other's. */
const crowdedScope: fc.Arbitrary<WrittenPermission[]> = fc
  .record({
    form: fc.constantFrom<(n: number) => string>(
      (n) => `a${n}*`,
      (n) => `*b${n}`,
      (n) => ['a*', '*b', `ab${n}`, `a*b${n}`][n % 4] as string,
    ),
    names: fc.integer({ min: 1, max: 16 }),
    places: fc.array(resourcePattern, { minLength: 1, maxLength: 3 }),
    apart: fc.boolean(),
  })
  .map(({ form, names: count, places, apart }) => {
    const found = Array.from({ length: count }, (_, n) => form(n));
    return (apart ? found.map((name) => [name]) : [found]).map((actions) => ({
      actions,
      resources: places,
      args: [],
    }));
  });
export const crowded = fc.tuple(crowdedScope, crowdedScope);

function fill(of: string, separator: string, seed: number): string {
  const fills = ['', 'a', 'b', 'ba', 'ab'];
  return of
    .split(separator)
    .map((segment, i) => {
      if (segment === '**') return seed % 2 === 0 ? 'a' : ['a', 'ba', 'b'].join(separator);
      // Its halves overlap here, which they may not.
      if (segment === 'ab*ba' && seed % 3 === 0) return 'aba';
      return segment === '*'
        ? 'aba'
        : segment.replace('*', fills[(seed + i) % fills.length] as string);
    })
    .join(separator);
}

/** A value that has a good chance to pass the tests, or to miss them by one step. */
function near(of: WrittenTests, seed: number, other: unknown): unknown {
  const { min, max, like, emails, hosts, maxLength, maxItems, each } = of;
  const one = <T>(list: T[]) => list[seed % list.length];
  const host = (list: string[]) => one(list)?.replace('*', seed % 3 === 0 ? 'x' : 'y.x');
  if (of.in?.length) return one(of.in);
  if ('eq' in of) return of.eq;
  if (min !== undefined && max !== undefined) return [min, max, min - 1, max + 1][seed % 4];
  if (min !== undefined) return seed % 3 === 0 ? min - 1 : min;
  if (max !== undefined) return seed % 3 === 0 ? max + 1 : max;
  if (like?.length) return fill(one(like) as string, '/', seed);
  if (emails?.length) return `a@${host(emails)}`;
  if (hosts?.length) return `https://${host(hosts)}/p`;
  if (maxLength !== undefined) return 'x'.repeat(maxLength + (seed % 3 === 0 ? 1 : 0));
  const element = each === undefined ? other : near(each, seed, other);
  if (maxItems !== undefined)
    return Array.from({ length: maxItems + (seed % 3 === 0 ? 1 : 0) }, () => element);
  return each === undefined ? other : [element];
}

function put(into: Record<string, unknown>, keys: string[], what: unknown): void {
  const [key, ...rest] = keys as [string, ...string[]];
  if (rest.length === 0) {
    into[key] = what;
    return;
  }
  const inner = into[key];
  const next =
    typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? { ...inner } : {};
  into[key] = next;
  put(next, rest, what);
}

const anywhere: fc.Arbitrary<WrittenOperation> = fc
  .record({
    action: fc.array(literal, { minLength: 1, maxLength: 3 }).map((list) => list.join('.')),
    resource: fc.array(literal, { maxLength: 3 }).map((list) => ['erp', ...list].join('/')),
    given: fc.array(fc.tuple(path, fc.oneof(value, oddNumber)), { maxLength: 2 }),
  })
  .map(({ given, ...named }) => {
    const found: Record<string, unknown> = {};
    for (const [where, what] of given) put(found, where.split('.'), what);
    return { ...named, args: found };
  });

/** Of one permission: inside it, or one step beside it. */
function beside(box: WrittenPermission): fc.Arbitrary<WrittenOperation> {
  const seeds = fc.record({
    a: fc.nat(99),
    r: fc.nat(99),
    c: fc.nat(99),
    drop: fc.nat(9),
    extra: fc.nat(9),
    beside: fc.nat(11),
  });
  return fc.tuple(seeds, fc.oneof(value, oddNumber), path).map(([seed, other, extra]) => {
    const found: Record<string, unknown> = {};
    for (const [i, [where, of]] of Object.entries(box.constraints ?? {}).entries()) {
      const leaveOut = of.absent
        ? seed.drop !== i
        : of.optional
          ? seed.drop % 2 === i
          : seed.drop === i;
      if (!leaveOut) put(found, where.split('.'), near(of, seed.c + i, other));
    }
    if (seed.extra < 3) put(found, extra.split('.'), other);
    // A path never enters an array, not even by an index.
    if (seed.extra > 6 && Object.hasOwn(Object(found['x']), '0'))
      found['x'] = Object.values(Object(found['x']));
    const action = fill(box.actions[seed.a % box.actions.length] as string, '.', seed.a);
    const resource = fill(box.resources[seed.r % box.resources.length] as string, '/', seed.r);
    // One step beside the names: another end, one segment more or less, another case.
    const [missed, away] = [seed.beside % 4, seed.beside < 4 ? 'action' : 'resource'];
    if (seed.beside > 7) return { action, resource, args: found };
    const moved = (name: string, separator: string) =>
      [`${name}x`, `${name}${separator}a`, name.split(separator)[0] as string, name.toUpperCase()][
        missed
      ] as string;
    return {
      action: away === 'action' ? moved(action, '.') : action,
      resource: away === 'resource' ? moved(resource, '/') : resource,
      args: found,
    };
  });
}

/** Operations that hit or nearly hit one of the permissions, and some from anywhere. */
export function operationNear(boxes: WrittenPermission[]): fc.Arbitrary<WrittenOperation> {
  const hits = boxes.map((box) => ({ weight: 6, arbitrary: beside(box) }));
  return fc.oneof({ weight: 1, arbitrary: anywhere }, ...hits);
}

const wholeTests = tests
  .map((found) => {
    const { optional: _, ...rest } = found;
    return rest;
  })
  .filter((found) => !found.absent);
/** Two lists of tests that often share a kind, and values near both. */
export const testPair = fc
  .tuple(wholeTests, wholeTests, fc.nat(3), fc.nat(29))
  .map(([a, b, how, seed]) => {
    const kinds = [b, { ...a, ...b }, tightenTests(a, seed), { ...tightenTests(a, seed), ...b }];
    return [a, kinds[how] as WrittenTests] as const;
  })
  .chain(([a, b]) =>
    fc.tuple(
      fc.constant(a),
      fc.constant(b),
      fc.array(fc.tuple(fc.nat(99), fc.oneof(value, oddNumber)), { minLength: 12, maxLength: 12 }),
    ),
  )
  .map(([a, b, seeds]) => {
    const values = seeds.flatMap(([seed, other]) => [
      near(a, seed, other),
      near(b, seed, other),
      other,
    ]);
    return { a, b, values };
  });
