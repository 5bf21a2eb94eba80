import { anyHostMatches, type HostPattern, hostOfEmail, hostOfUrl } from './host.ts';
import { canonical, isExactNumber } from './json.ts';
import { longerThan, splitName } from './name.ts';
import { matches, type Pattern } from './pattern.ts';
import type { Json, TestName } from './types.ts';

/** The values of an `in`, by canonical text. */
export type ValueSet = ReadonlyMap<string, Json>;

/** The tests of one value, read once. */
export interface Tests {
  readonly in?: ValueSet;
  readonly min?: number;
  readonly max?: number;
  readonly like?: readonly Pattern[];
  readonly emails?: readonly HostPattern[];
  readonly hosts?: readonly HostPattern[];
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly each?: Tests;
}

/** What must hold at one path. */
export type Rule =
  | { readonly absent: true }
  | { readonly optional: boolean; readonly tests: Tests };

export function valueSet(values: Iterable<Json>): ValueSet {
  return new Map(Array.from(values, (value) => [canonical(value), value]));
}

/** The first test that the value fails; undefined where it passes all. */
export function firstFailure(tests: Tests, value: Json): TestName | undefined {
  if (typeof value === 'number' && !isExactNumber(value)) return 'exact';
  if (tests.in !== undefined && !tests.in.has(canonical(value))) return 'in';
  if (typeof value === 'number') return numberFailure(tests, value) ?? foreign(tests, 'number');
  if (typeof value === 'string') return stringFailure(tests, value) ?? foreign(tests, 'string');
  if (Array.isArray(value)) return arrayFailure(tests, value) ?? foreign(tests, 'array');
  return foreign(tests, 'other');
}

function numberFailure(tests: Tests, value: number): TestName | undefined {
  if (tests.min !== undefined && value < tests.min) return 'min';
  return tests.max !== undefined && value > tests.max ? 'max' : undefined;
}

function stringFailure(tests: Tests, value: string): TestName | undefined {
  if (tests.maxLength !== undefined && longerThan(value, tests.maxLength)) return 'maxLength';
  if (tests.like !== undefined) {
    const segments = splitName(value, '/');
    if (segments === undefined) return 'like';
    if (!tests.like.some((pattern) => matches(pattern, value, segments))) return 'like';
  }
  if (tests.emails !== undefined) {
    const host = hostOfEmail(value);
    if (host === undefined || !anyHostMatches(tests.emails, host)) return 'emails';
  }
  if (tests.hosts !== undefined) {
    const host = hostOfUrl(value);
    if (host === undefined || !anyHostMatches(tests.hosts, host)) return 'hosts';
  }
  return undefined;
}

function arrayFailure(tests: Tests, value: readonly Json[]): TestName | undefined {
  if (tests.maxItems !== undefined && value.length > tests.maxItems) return 'maxItems';
  const { each } = tests;
  if (each === undefined) return undefined;
  return value.some((element) => firstFailure(each, element) !== undefined) ? 'each' : undefined;
}

type Kind = 'number' | 'string' | 'array';

const KIND_OF = [
  ['min', 'number'],
  ['max', 'number'],
  ['like', 'string'],
  ['emails', 'string'],
  ['hosts', 'string'],
  ['maxLength', 'string'],
  ['maxItems', 'array'],
  ['each', 'array'],
] as const satisfies readonly (readonly [keyof Tests, Kind])[];

/** The first test that is about another type than the value's. */
function foreign(tests: Tests, kind: Kind | 'other'): TestName | undefined {
  return KIND_OF.find(([test, about]) => about !== kind && tests[test] !== undefined)?.[0];
}

/**
 * The normal form of tests: `in` filtered by all the others, which it then replaces; `each` that no
 * element passes is `maxItems: 0`. Undefined where no value passes.
 */
export function normalTests(tests: Tests): Tests | undefined {
  if (tests.in !== undefined) {
    const passing = [...tests.in.values()].filter(
      (value) => firstFailure(tests, value) === undefined,
    );
    return passing.length === 0 ? undefined : { in: valueSet(passing) };
  }
  const kinds = new Set(
    KIND_OF.filter(([test]) => tests[test] !== undefined).map(([, kind]) => kind),
  );
  if (kinds.size > 1) return undefined;
  if (tests.min !== undefined && tests.max !== undefined && tests.min > tests.max) return undefined;
  if ([tests.like, tests.emails, tests.hosts].some((list) => list?.length === 0)) return undefined;
  // A URL has an empty segment after its scheme and a colon before it: neither a name nor an address.
  if (tests.hosts !== undefined && (tests.like ?? tests.emails) !== undefined) return undefined;
  return normalArray(tests);
}

function normalArray(tests: Tests): Tests {
  const { each, ...rest } = tests;
  if (each === undefined || rest.maxItems === 0) return rest;
  const inner = normalTests(each);
  return inner === undefined ? { ...rest, maxItems: 0 } : { ...rest, each: inner };
}

/** Of what stands where only an object with something in it can: undefined where nothing passes. */
export function objectTests(tests: Tests): Tests | undefined {
  if (tests.in === undefined) return Object.keys(tests).length === 0 ? tests : undefined;
  const objects = [...tests.in.values()].filter(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.keys(value).length > 0,
  );
  return objects.length === 0 ? undefined : { in: valueSet(objects) };
}
