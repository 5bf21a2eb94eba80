import { LIMITS } from './limits.ts';
import { meetPattern, type Pattern, patternWithin } from './pattern.ts';

/** Without what lies within another; the first of equals stays. */
export function reduce<T>(items: readonly T[], within: (a: T, b: T) => boolean): T[] {
  const kept: T[] = [];
  for (const item of items) keep(kept, item, within);
  return kept;
}

/** Adds an item to a reduced list, unless it lies within one of it; drops what lies within it. */
export function keep<T>(kept: T[], item: T, within: (a: T, b: T) => boolean): void {
  if (kept.some((other) => within(item, other))) return;
  let to = 0;
  for (const other of kept) {
    if (!within(other, item)) {
      kept[to] = other;
      to += 1;
    }
  }
  kept.length = to;
  kept.push(item);
}

export function reducePatterns(patterns: readonly Pattern[]): Pattern[] {
  return reduce(patterns, patternWithin);
}

/**
 * The patterns that together admit exactly what both lists admit, reduced. Undefined where they are
 * more than `limit`, found while they are built.
 */
export function meetPatterns(
  a: readonly Pattern[],
  b: readonly Pattern[],
  limit: number,
): readonly Pattern[] | undefined {
  const kept: Pattern[] = [];
  for (const one of a) {
    for (const other of b) {
      const both = meetPattern(one, other, LIMITS.working);
      if (both === undefined) return undefined;
      for (const pattern of both) keep(kept, pattern, patternWithin);
      if (kept.length > LIMITS.working) return undefined;
    }
  }
  return kept.length > limit ? undefined : kept;
}

export function coversPattern(list: readonly Pattern[], pattern: Pattern): boolean {
  return list.some((outer) => patternWithin(pattern, outer));
}
