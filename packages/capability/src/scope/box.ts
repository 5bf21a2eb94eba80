import { normalTests, objectTests, type Rule } from './constraint.ts';
import { meetRules, TOO_LARGE, type TooLarge, testsWithin } from './constraint-order.ts';
import { LIMITS } from './limits.ts';
import {
  type ArgPath,
  type Args,
  type ArgTree,
  argsWithin,
  argTree,
  covers,
  meetArgs,
  reach,
  reduceArgs,
} from './path.ts';
import type { Pattern } from './pattern.ts';
import { coversPattern, meetPatterns, reducePatterns } from './pattern-set.ts';
import type { WrittenBox } from './read.ts';

export interface PathRule {
  readonly path: ArgPath;
  readonly rule: Rule;
}

/** A permission in normal form, compiled: what every function of the algebra works on. */
export interface Box {
  readonly actions: readonly Pattern[];
  readonly resources: readonly Pattern[];
  readonly args: Args;
  readonly tree: ArgTree;
  /** Ancestors before what lies below them. */
  readonly rules: ReadonlyMap<string, PathRule>;
  readonly online: boolean;
}

function normalRule(written: Rule, path: ArgPath, args: Args, absent: boolean): Rule | undefined {
  const may = absent ? 'nothing' : reach(args, path);
  const optional = 'absent' in written || written.optional;
  if ('absent' in written || may === 'nothing') return optional ? { absent: true } : undefined;
  const normal = normalTests(written.tests);
  const tests = normal !== undefined && may === 'object' ? objectTests(normal) : normal;
  if (tests !== undefined) return { optional, tests };
  return optional ? { absent: true } : undefined;
}

/** The normal form of a box; undefined where it admits nothing. */
export function normalBox(written: WrittenBox): Box | undefined {
  const actions = reducePatterns(written.actions);
  const resources = reducePatterns(written.resources);
  if (actions.length === 0 || resources.length === 0) return undefined;
  const args = written.args === 'any' ? 'any' : reduceArgs(written.args);
  const rules = new Map<string, PathRule>();
  const deepestLast = written.rules.toSorted(([a], [b]) => a.keys.length - b.keys.length);
  for (const [path, wish] of deepestLast) {
    const absent = rules.values().some((other) => forbids(other, path));
    const rule = wish && normalRule(wish, path, args, absent);
    if (rule === undefined) return undefined;
    rules.set(path.text, { path, rule });
  }
  return { actions, resources, args, tree: argTree(args), rules, online: written.online };
}

const forbids = (other: PathRule, path: ArgPath) =>
  'absent' in other.rule && covers(other.path, path);

/** Whether no operation of the box has anything at the path. */
function surelyAbsent(box: Box, path: ArgPath): boolean {
  if (reach(box.args, path) === 'nothing') return true;
  return box.rules.values().some((other) => forbids(other, path));
}

function ruleImplied(box: Box, { path, rule }: PathRule): boolean {
  const mayBeAbsent = 'absent' in rule || rule.optional;
  if (surelyAbsent(box, path)) return mayBeAbsent;
  const own = box.rules.get(path.text)?.rule;
  if (own === undefined || 'absent' in own || 'absent' in rule) return false;
  return (!own.optional || rule.optional) && testsWithin(own.tests, rule.tests);
}

/** What of `inner`, names aside, passes `outer`. */
export type SideExcess =
  | { readonly kind: 'args' }
  | { readonly kind: 'constraint'; readonly path: string }
  | { readonly kind: 'check' };

/** The first side, names aside, on which `inner` isn't within `outer`; undefined where it is. */
export function sideExcess(inner: Box, outer: Box): SideExcess | undefined {
  if (!argsWithin(inner.args, outer.args)) return { kind: 'args' };
  for (const wanted of outer.rules.values()) {
    if (!ruleImplied(inner, wanted)) return { kind: 'constraint', path: wanted.path.text };
  }
  return outer.online && !inner.online ? { kind: 'check' } : undefined;
}

/** Whether one box lies within one other. */
export function boxWithin(inner: Box, outer: Box): boolean {
  return (
    inner.actions.every((pattern) => coversPattern(outer.actions, pattern)) &&
    inner.resources.every((pattern) => coversPattern(outer.resources, pattern)) &&
    sideExcess(inner, outer) === undefined
  );
}

function meetAllRules(a: Box, b: Box): [ArgPath, Rule][] | undefined | TooLarge {
  const rules: [ArgPath, Rule][] = [];
  for (const { path, rule } of a.rules.values()) {
    const other = b.rules.get(path.text);
    const both = other === undefined ? rule : meetRules(rule, other.rule);
    if (both === undefined || both === TOO_LARGE) return both;
    rules.push([path, both]);
  }
  for (const { path, rule } of b.rules.values()) {
    if (!a.rules.has(path.text)) rules.push([path, rule]);
  }
  return rules.length > LIMITS.constraints ? TOO_LARGE : rules;
}

/** Exactly what both boxes admit; undefined where nothing is. */
export function meetBox(a: Box, b: Box): Box | undefined | TooLarge {
  const actions = meetPatterns(a.actions, b.actions, LIMITS.actions);
  if (actions === undefined) return TOO_LARGE;
  if (actions.length === 0) return undefined;
  const resources = meetPatterns(a.resources, b.resources, LIMITS.resources);
  if (resources === undefined) return TOO_LARGE;
  if (resources.length === 0) return undefined;
  const rules = meetAllRules(a, b);
  if (rules === undefined || rules === TOO_LARGE) return rules;
  const args = meetArgs(a.args, b.args);
  if (args !== 'any' && args.length > LIMITS.argPaths) return TOO_LARGE;
  return normalBox({ actions, resources, args, rules, online: a.online || b.online });
}
