import { firstFailure, type Tests } from './constraint.ts';
import type { HostPattern } from './host.ts';
import { splitName } from './name.ts';
import type { Pattern } from './pattern.ts';
import type { Json } from './types.ts';

// Unlikely to be what a child happens to name: two different ones, so no literal equals both.
const FILLS = ['', '~', '~~7'];
const TAILS = [['~'], ['~', '~', '~']];
const LONGEST_TEXT = 16_384;
const LONGEST_LIST = 256;

/** Names at a pattern's edges: stars empty and filled, a closing `**` short and long. */
export function sampleNames(pattern: Pattern): readonly string[] {
  if (pattern.literal) return splitName(pattern.text, pattern.separator) ? [pattern.text] : [];
  const names = FILLS.flatMap((fill) => {
    const segments = pattern.parts.map((part) => {
      if (!part.star) return part.text;
      const text = part.before + fill + part.after;
      return splitName(text, pattern.separator) ? text : `${part.before}~${part.after}`;
    });
    const tails = pattern.deep ? TAILS : [[]];
    return tails.map((tail) => [...segments, ...tail].join(pattern.separator));
  });
  return [...new Set(names)].filter((name) => splitName(name, pattern.separator) !== undefined);
}

function sampleHosts({ host, below }: HostPattern): readonly string[] {
  return below ? [`x${host}`, `x.y${host}`] : [host];
}

function textsOf(tests: Tests): readonly string[] {
  const texts = ['', '~', '~~7'];
  if (tests.maxLength !== undefined) {
    texts.push('x'.repeat(Math.min(tests.maxLength, LONGEST_TEXT)));
  }
  if (tests.like !== undefined) texts.push(...tests.like.flatMap(sampleNames));
  if (tests.emails !== undefined) {
    texts.push(...tests.emails.flatMap(sampleHosts).map((host) => `a@${host}`));
  }
  if (tests.hosts !== undefined) {
    texts.push(...tests.hosts.flatMap(sampleHosts).map((host) => `https://${host}/`));
  }
  return texts;
}

function numbersOf({ min, max }: Tests): readonly number[] {
  const far = Number.MAX_SAFE_INTEGER;
  return [min ?? -far, max ?? far, 0];
}

function listsOf({ maxItems, each }: Tests): readonly Json[] {
  const elements = each === undefined ? ['~'] : sampleValues(each);
  const [first] = elements;
  const lists: Json[] = [[], ...elements.map((element) => [element])];
  if (maxItems !== undefined && first !== undefined) {
    lists.push(Array.from({ length: Math.min(maxItems, LONGEST_LIST) }, () => first));
  }
  return lists;
}

/** Values at the edges of what passes the tests: bounds, every listed value, shortest and longest. */
export function sampleValues(tests: Tests): readonly Json[] {
  if (tests.in !== undefined) return [...tests.in.values()];
  const values: Json[] = [...textsOf(tests), ...numbersOf(tests), true, null, ...listsOf(tests)];
  return values.filter((value) => firstFailure(tests, value) === undefined);
}
