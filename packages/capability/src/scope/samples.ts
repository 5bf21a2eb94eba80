import type { Box, PathRule } from './box.ts';
import { ScopeError } from './errors.ts';
import { parseOperation } from './operation.ts';
import { type ArgPath, covers, isObject, reach, valueAt } from './path.ts';
import { permits } from './permits.ts';
import { sampleNames, sampleValues } from './sample-values.ts';
import { boxesOf, within } from './scope.ts';
import type { Json, JsonObject, Operation, Scope } from './types.ts';

/** Samples of a whole scope, shared evenly by its permissions. */
const MOST_SAMPLES = 8192;
const UNNAMED_KEY = '~any';

function withValue(
  base: JsonObject,
  [key, ...rest]: readonly string[],
  value: Json,
): JsonObject | undefined {
  if (key === undefined) return undefined;
  if (rest.length === 0) return { ...base, [key]: value };
  const inner = base[key] ?? {};
  const deeper = isObject(inner) ? withValue(inner, rest, value) : undefined;
  return deeper && { ...base, [key]: deeper };
}

/** Edge values at a rule's path; where only an object can stand, one that holds a deeper path. */
function valuesAt(box: Box, { path, rule }: PathRule): readonly Json[] {
  if ('absent' in rule) return [];
  if (rule.tests.in !== undefined || reach(box.args, path) === 'all') {
    return sampleValues(rule.tests);
  }
  const deeper = box.args === 'any' ? undefined : box.args.find((arg) => covers(path, arg));
  const object = deeper && withValue({}, deeper.keys.slice(path.keys.length), '~');
  return object === undefined ? [] : [object];
}

/** Only what must be given, each at its first edge; undefined where none was found. */
function leastArgs(box: Box, values: ReadonlyMap<PathRule, readonly Json[]>) {
  let args: JsonObject | undefined = {};
  // Deepest first: what lies below a path already makes it present.
  for (const entry of [...box.rules.values()].toReversed()) {
    if ('absent' in entry.rule || entry.rule.optional) continue;
    if (valueAt(args, entry.path.keys) !== undefined) continue;
    const value: Json | undefined = values.get(entry)?.[0];
    args = value === undefined ? undefined : withValue(args, entry.path.keys, value);
    if (args === undefined) return undefined;
  }
  return args;
}

/** The least arguments, then one argument varied or added at a time. */
function sampleArgs(box: Box): readonly JsonObject[] {
  const values = new Map(box.rules.values().map((entry) => [entry, valuesAt(box, entry)] as const));
  const least = leastArgs(box, values);
  if (least === undefined) return [];
  const found: (JsonObject | undefined)[] = [least];
  for (const [{ path }, edges] of values) {
    for (const value of edges) found.push(withValue(least, path.keys, value));
  }
  const free: readonly ArgPath[] =
    box.args === 'any' ? [{ text: UNNAMED_KEY, keys: [UNNAMED_KEY] }] : box.args;
  for (const { keys, text } of free) {
    if (!box.rules.has(text)) found.push(withValue(least, keys, '~'));
  }
  return found.filter((args) => args !== undefined);
}

function* boxOperations(box: Box): Generator<{ action: string; resource: string; args: Json }> {
  const [least, ...varied] = sampleArgs(box);
  if (least === undefined) return;
  const actions = box.actions.map(sampleNames);
  const resources = box.resources.map(sampleNames);
  for (const [action] of actions) {
    for (const [resource] of resources) {
      if (action !== undefined && resource !== undefined) yield { action, resource, args: least };
    }
  }
  for (const action of actions.flat()) {
    for (const resource of resources.flat()) yield { action, resource, args: least };
  }
  for (const args of varied) {
    for (const [action] of actions) {
      for (const [resource] of resources) {
        if (action !== undefined && resource !== undefined) yield { action, resource, args };
      }
    }
  }
}

function* sampleOperations(of: Scope): Generator<Operation> {
  const boxes = boxesOf(of);
  const share = Math.ceil(MOST_SAMPLES / Math.max(boxes.length, 1));
  for (const box of boxes) {
    for (const candidate of boxOperations(box).take(share)) {
      const operation = readable(candidate);
      // An edge of one test may lie outside another: only what is really admitted counts.
      if (operation !== undefined && permits(of, operation).ok) yield operation;
    }
  }
}

function readable(candidate: unknown): Operation | undefined {
  try {
    return parseOperation(candidate);
  } catch (error) {
    if (error instanceof ScopeError) return undefined;
    throw error;
  }
}

/**
 * Operations that a scope admits, at the edges of each of its permissions: stars empty and filled,
 * `**` short and long, constrained arguments at their outer values and varied one at a time, optional
 * ones absent. At most 8,192. A sample proves what is admitted; what isn't sampled isn't refused.
 */
export function samples(of: Scope): readonly Operation[] {
  return [...sampleOperations(of)];
}

/**
 * Where `child` is within `parent` and gives something up: an operation that the parent admits and the
 * child refuses, the first of the parent's samples that shows it. Undefined where the child isn't
 * within the parent, or where no sample shows a difference.
 *
 * A discipline, not a bound: what bounds a chain is `within`, depth, expiry and the envelopes.
 */
export function narrower(child: Scope, parent: Scope): Operation | undefined {
  if (!within(child, parent)) return undefined;
  return sampleOperations(parent).find((operation) => !permits(child, operation).ok);
}
