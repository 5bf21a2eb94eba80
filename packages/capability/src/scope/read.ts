import { type Rule, type Tests, valueSet } from './constraint.ts';
import { ScopeError } from './errors.ts';
import { readHostPattern } from './host.ts';
import { copyJson, isExactNumber, VALUE_RULES } from './json.ts';
import { LIMITS } from './limits.ts';
import type { Separator } from './name.ts';
import { type ArgPath, type Args, isObject, readPath } from './path.ts';
import { type Pattern, readPattern } from './pattern.ts';
import type { Json, JsonObject } from './types.ts';

/** A permission as written, read but not yet in normal form. */
export interface WrittenBox {
  readonly actions: readonly Pattern[];
  readonly resources: readonly Pattern[];
  readonly args: Args;
  readonly rules: readonly (readonly [ArgPath, Rule | undefined])[];
  readonly online: boolean;
}

type At = readonly (string | number)[];

function invalid(what: string, at: At): never {
  throw new ScopeError('SCOPE_INVALID', `${at.join(' > ') || 'scope'}: ${what}`, { at });
}

export function closedObject(value: Json | undefined, keys: readonly string[], at: At): JsonObject {
  if (!isObject(value)) return invalid('an object is expected', at);
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) invalid(`"${key}" is not known here`, [...at, key]);
  }
  return value;
}

function stringList(value: Json | undefined, limit: number, at: At): readonly string[] {
  if (!Array.isArray(value)) return invalid('a list of strings is expected', at);
  if (value.length > limit) invalid(`more than ${limit} entries`, at);
  return value.map((entry: Json, i) =>
    typeof entry === 'string' ? entry : invalid('a string is expected', [...at, i]),
  );
}

function patternList(value: Json | undefined, separator: Separator, limit: number, at: At) {
  return stringList(value, limit, at).map(
    (text, i) => readPattern(text, separator) ?? invalid('not a pattern', [...at, i]),
  );
}

function readArgs(value: Json | undefined, at: At): Args {
  if (value === 'any') return 'any';
  return stringList(value, LIMITS.argPaths, at).map(
    (text, i) => readPath(text) ?? invalid('not an argument path', [...at, i]),
  );
}

function readBound(value: Json, at: At): number {
  if (typeof value === 'number' && isExactNumber(value)) return value;
  return invalid('a number is expected that JSON, JavaScript and Cedar hold exactly', at);
}

function readCount(value: Json, at: At): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  return invalid('a whole number from 0 is expected', at);
}

function readValues(value: Json, at: At) {
  if (!Array.isArray(value)) return invalid('a list of values is expected', at);
  if (value.length > LIMITS.values) invalid(`more than ${LIMITS.values} values`, at);
  return valueSet(value.map((one: Json) => readValue(one, at)));
}

function readValue(value: Json, at: At): Json {
  try {
    return copyJson(value, VALUE_RULES);
  } catch (cause) {
    if (!(cause instanceof ScopeError)) throw cause;
    return invalid(cause.message, [...at, ...(cause.context.at ?? [])]);
  }
}

const hostList = (value: Json, at: At) =>
  stringList(value, LIMITS.patterns, at).map(
    (text, i) => readHostPattern(text) ?? invalid('not a host', [...at, i]),
  );

type Reader<K extends keyof Tests> = (value: Json, at: At, depth: number) => NonNullable<Tests[K]>;

const READERS: { readonly [K in keyof Tests]-?: Reader<K> } = {
  in: readValues,
  min: readBound,
  max: readBound,
  like: (value, at) => patternList(value, '/', LIMITS.patterns, at),
  emails: hostList,
  hosts: hostList,
  maxLength: readCount,
  maxItems: readCount,
  each: (value, at, depth) => {
    if (depth >= LIMITS.eachDepth) invalid('"each" is nested too deeply', at);
    return readTests(closedObject(value, TEST_KEYS, at), at, depth + 1);
  },
};
const TESTS = Object.keys(READERS) as (keyof Tests)[];
const TEST_KEYS = [...TESTS, 'eq'];

function readTests(object: JsonObject, at: At, depth: number): Tests {
  const tests: Record<string, unknown> = {};
  for (const test of TESTS) {
    const value = object[test];
    if (value !== undefined) tests[test] = READERS[test](value, [...at, test], depth);
  }
  if (object['eq'] !== undefined) {
    const only = valueSet([readValue(object['eq'], [...at, 'eq'])]);
    const listed = tests['in'] as Tests['in'];
    tests['in'] = listed ? new Map([...only].filter(([key]) => listed.has(key))) : only;
  }
  return tests;
}

function readFlag(value: Json | undefined, at: At): boolean {
  return value === undefined || typeof value === 'boolean'
    ? value === true
    : invalid('true or false is expected', at);
}

/** Undefined where the rule contradicts itself: it demands an argument and forbids it. */
function readRule(value: Json, at: At): Rule | undefined {
  const object = closedObject(value, [...TEST_KEYS, 'optional', 'absent'], at);
  const optional = readFlag(object['optional'], [...at, 'optional']);
  const tests = readTests(object, at, 0);
  if (!readFlag(object['absent'], [...at, 'absent'])) return { optional, tests };
  return optional || Object.keys(tests).length === 0 ? { absent: true } : undefined;
}

/** Reads one permission of a copied scope. Unknown keys are refused; `args` must be there. */
export function readPermission(value: Json, at: At): WrittenBox {
  const keys = ['actions', 'resources', 'args', 'constraints', 'check'];
  const object = closedObject(value, keys, at);
  for (const key of ['actions', 'resources', 'args']) {
    if (object[key] === undefined) invalid(`"${key}" is missing; empty would mean none`, at);
  }
  if (object['check'] !== undefined && object['check'] !== 'online') {
    invalid('"online" is the only check', [...at, 'check']);
  }
  const constraints = object['constraints'] ?? {};
  if (!isObject(constraints)) return invalid('an object is expected', [...at, 'constraints']);
  const paths = Object.keys(constraints);
  if (paths.length > LIMITS.constraints) {
    invalid(`more than ${LIMITS.constraints} constraints`, [...at, 'constraints']);
  }
  return {
    actions: patternList(object['actions'], '.', LIMITS.actions, [...at, 'actions']),
    resources: patternList(object['resources'], '/', LIMITS.resources, [...at, 'resources']),
    args: readArgs(object['args'], [...at, 'args']),
    rules: paths.map((text) => {
      const place = [...at, 'constraints', text];
      const path = readPath(text) ?? invalid('not an argument path', place);
      return [path, readRule(constraints[text] as Json, place)] as const;
    }),
    online: object['check'] === 'online',
  };
}
