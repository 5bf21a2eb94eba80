import { isArgumentKey } from './json.ts';
import { LIMITS } from './limits.ts';
import { longerThan } from './name.ts';
import type { Json, JsonObject } from './types.ts';

/** A place in the arguments: keys joined by `.`, never inside an array. */
export interface ArgPath {
  readonly text: string;
  readonly keys: readonly string[];
}

/** Which arguments may be given. */
export type Args = 'any' | readonly ArgPath[];

/** The paths of `Args` as a tree; `open` covers everything from here down. */
export interface ArgTree {
  readonly open: boolean;
  readonly children: ReadonlyMap<string, ArgTree>;
}

export function readPath(text: string): ArgPath | undefined {
  if (longerThan(text, LIMITS.nameLength)) return undefined;
  const keys = text.split('.');
  if (keys.length > LIMITS.nameSegments || !keys.every(isArgumentKey)) return undefined;
  return { text, keys };
}

/** `outer` covers itself and what lies below it. */
export function covers(outer: ArgPath, inner: ArgPath): boolean {
  return inner.text === outer.text || inner.text.startsWith(`${outer.text}.`);
}

/**
 * What `args` let stand at a path: anything (`all`), only an object that holds deeper paths
 * (`object`), or nothing.
 */
export function reach(args: Args, path: ArgPath): 'all' | 'object' | 'nothing' {
  if (args === 'any' || args.some((arg) => covers(arg, path))) return 'all';
  return args.some((arg) => covers(path, arg)) ? 'object' : 'nothing';
}

/** Whether a path or one that it lies below is listed: its ancestors are few, the list may be long. */
function coveredBy(list: ReadonlySet<string>, { text }: ArgPath): boolean {
  return list.has(text) || belowOne(list, text);
}

function belowOne(list: ReadonlySet<string>, text: string): boolean {
  for (let dot = text.indexOf('.'); dot !== -1; dot = text.indexOf('.', dot + 1)) {
    if (list.has(text.slice(0, dot))) return true;
  }
  return false;
}

const textSets = new WeakMap<readonly ArgPath[], ReadonlySet<string>>();

function textsOf(args: readonly ArgPath[]): ReadonlySet<string> {
  const known = textSets.get(args) ?? new Set(args.map(({ text }) => text));
  textSets.set(args, known);
  return known;
}

export function argsWithin(inner: Args, outer: Args): boolean {
  if (outer === 'any') return true;
  if (inner === 'any') return false;
  const covering = textsOf(outer);
  return inner.every((arg) => coveredBy(covering, arg));
}

/** Without paths that another covers. */
export function reduceArgs(args: readonly ArgPath[]): readonly ArgPath[] {
  const unique = new Map(args.map((arg) => [arg.text, arg]));
  const listed = textsOf(args);
  return [...unique.values()].filter(({ text }) => !belowOne(listed, text));
}

/** The deeper of two paths wherever one covers the other. */
export function meetArgs(a: Args, b: Args): Args {
  if (a === 'any') return b;
  if (b === 'any') return a;
  const [ofA, ofB] = [textsOf(a), textsOf(b)];
  return reduceArgs([
    ...a.filter((arg) => coveredBy(ofB, arg)),
    ...b.filter((arg) => coveredBy(ofA, arg)),
  ]);
}

interface Growing {
  open: boolean;
  children: Map<string, Growing>;
}

export function argTree(args: Args): ArgTree {
  const root: Growing = { open: args === 'any', children: new Map() };
  if (args === 'any') return root;
  for (const { keys } of args) {
    let node = root;
    for (const key of keys) {
      let child = node.children.get(key);
      if (child === undefined) {
        child = { open: false, children: new Map() };
        node.children.set(key, child);
      }
      node = child;
    }
    node.open = true;
  }
  return root;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The path of the first leaf that the tree doesn't cover. Leaves: scalars, arrays, empty objects. */
export function firstUncovered(tree: ArgTree, args: JsonObject, prefix = ''): string | undefined {
  if (tree.open) return undefined;
  for (const key of Object.keys(args)) {
    const child = tree.children.get(key);
    const value = args[key] as Json;
    const path = prefix + key;
    if (child === undefined) return path;
    if (child.open) continue;
    if (!isObject(value) || Object.keys(value).length === 0) return path;
    const deeper = firstUncovered(child, value, `${path}.`);
    if (deeper !== undefined) return deeper;
  }
  return undefined;
}

/** The value at a path, or undefined where there is none. */
export function valueAt(args: JsonObject, keys: readonly string[]): Json | undefined {
  let value: Json | undefined = args;
  for (const key of keys) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}
