import { firstFailure, normalTests, type Rule, type Tests, type ValueSet } from './constraint.ts';
import { type HostPattern, hostWithin, meetHost } from './host.ts';
import { LIMITS } from './limits.ts';
import { type Pattern, patternWithin } from './pattern.ts';
import { meetPatterns, reduce } from './pattern-set.ts';

/** A result that would pass a limit: never cut, always reported. */
export const TOO_LARGE = Symbol('too large');
export type TooLarge = typeof TOO_LARGE;

const lower = (a: number | undefined, b: number | undefined) =>
  b === undefined || (a !== undefined && a <= b);

function allWithin<T>(
  inner: readonly T[] | undefined,
  outer: readonly T[] | undefined,
  oneWithin: (a: T, b: T) => boolean,
): boolean {
  if (outer === undefined) return true;
  return inner?.every((a) => outer.some((b) => oneWithin(a, b))) ?? false;
}

/**
 * Whether all that passes `a` surely passes `b`: each test of `b` is in `a` too, as tight or tighter;
 * or `a` lists values and all of them pass. Sound, not complete. Both in normal form.
 */
export function testsWithin(a: Tests, b: Tests): boolean {
  if (a.in !== undefined) {
    return a.in.values().every((value) => firstFailure(b, value) === undefined);
  }
  if (b.in !== undefined) return false;
  return (
    (b.min === undefined || (a.min !== undefined && a.min >= b.min)) &&
    lower(a.max, b.max) &&
    lower(a.maxLength, b.maxLength) &&
    lower(a.maxItems, b.maxItems) &&
    allWithin<Pattern>(a.like, b.like, patternWithin) &&
    allWithin<HostPattern>(a.emails, b.emails, hostWithin) &&
    allWithin<HostPattern>(a.hosts, b.hosts, hostWithin) &&
    (b.each === undefined ||
      a.maxItems === 0 ||
      (a.each !== undefined && testsWithin(a.each, b.each)))
  );
}

function larger(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}

function smaller(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function meetValues(a: ValueSet | undefined, b: ValueSet | undefined): ValueSet | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return new Map([...a].filter(([key]) => b.has(key)));
}

function meetLike(a: Tests['like'], b: Tests['like']): Tests['like'] | TooLarge {
  if (a === undefined || b === undefined) return a ?? b;
  const both = meetPatterns(a, b, LIMITS.patterns);
  return both === undefined ? TOO_LARGE : both;
}

function meetHosts(
  a: readonly HostPattern[] | undefined,
  b: readonly HostPattern[] | undefined,
): readonly HostPattern[] | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return reduce(
    a.flatMap((one) => b.flatMap((other) => meetHost(one, other))),
    hostWithin,
  );
}

/** Exactly what passes both, in normal form; undefined where nothing does. */
function meetTests(a: Tests, b: Tests): Tests | undefined | TooLarge {
  const like = meetLike(a.like, b.like);
  if (like === TOO_LARGE) return TOO_LARGE;
  const emails = meetHosts(a.emails, b.emails);
  const hosts = meetHosts(a.hosts, b.hosts);
  const each = a.each && b.each ? meetTests(a.each, b.each) : (a.each ?? b.each);
  if (each === TOO_LARGE) return TOO_LARGE;
  const noElement = a.each !== undefined && b.each !== undefined && each === undefined;
  const merged = {
    in: meetValues(a.in, b.in),
    min: larger(a.min, b.min),
    max: smaller(a.max, b.max),
    like,
    emails,
    hosts,
    maxLength: smaller(a.maxLength, b.maxLength),
    maxItems: noElement ? 0 : smaller(a.maxItems, b.maxItems),
    each,
  };
  if ((emails?.length ?? 0) > LIMITS.patterns || (hosts?.length ?? 0) > LIMITS.patterns) {
    return TOO_LARGE;
  }
  return normalTests(withoutUndefined(merged));
}

function withoutUndefined(tests: { [K in keyof Tests]: Tests[K] | undefined }): Tests {
  return Object.fromEntries(
    Object.entries(tests).filter(([, value]) => value !== undefined),
  ) as Tests;
}

/**
 * Exactly what both rules admit; undefined where nothing does: one demands the argument and the other
 * forbids it, or both demand it and no value passes.
 */
export function meetRules(a: Rule, b: Rule): Rule | undefined | TooLarge {
  if ('absent' in a || 'absent' in b) {
    const optional = [a, b].every((rule) => 'absent' in rule || rule.optional);
    return optional ? { absent: true } : undefined;
  }
  const tests = meetTests(a.tests, b.tests);
  if (tests === TOO_LARGE) return TOO_LARGE;
  const optional = a.optional && b.optional;
  if (tests === undefined) return optional ? { absent: true } : undefined;
  return { optional, tests };
}
