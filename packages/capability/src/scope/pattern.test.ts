import { describe, expect, it } from 'vitest';
import { LIMITS } from './limits.ts';
import { splitName } from './name.ts';
import { matches, meetPattern, type Pattern, patternWithin, readPattern } from './pattern.ts';
import { patternAdmits } from './test-support/naive.ts';

function pattern(text: string): Pattern {
  const found = readPattern(text, '/');
  if (found === undefined) throw new Error(`${text} is a pattern`);
  return found;
}

function admits(of: Pattern, name: string): boolean {
  return matches(of, name, splitName(name, of.separator) ?? []);
}

const words = (length: number): string[] =>
  length === 0 ? [''] : words(length - 1).flatMap((word) => [word, `${word}a`, `${word}b`]);
const SHORT = [...new Set(words(2))];
const NAMES = [...new Set(words(6))].filter((word) => word !== '');
/** Every pattern of one segment with up to two letters on each side of a star, and every literal. */
const ONE = [
  ...SHORT.flatMap((before) => SHORT.map((after) => pattern(`${before}*${after}`))),
  ...NAMES.filter((name) => name.length <= 3).map(pattern),
];

describe('patterns, exhaustively over two letters', () => {
  it('admit what the naive reading admits', () => {
    for (const one of ONE) {
      for (const name of NAMES) {
        if (admits(one, name) !== patternAdmits(one.text, name, '/')) {
          expect.fail(`${one.text} on ${name}`);
        }
      }
    }
  });

  // Goes red when `meetParts` forgets the overlaps, or `partMatches` the length.
  it('meet in exactly the names that both admit', () => {
    for (const a of ONE) {
      for (const b of ONE) {
        const both = meetPattern(a, b, 64) ?? expect.fail('within the limit');
        for (const name of NAMES) {
          const expected = admits(a, name) && admits(b, name);
          if (both.some((one) => admits(one, name)) !== expected) {
            expect.fail(`${a.text} with ${b.text} on ${name}`);
          }
        }
      }
    }
  });

  // Goes red when `partWithin` compares only one of the two halves.
  it('lie within one another only where no name is lost', () => {
    let inside = 0;
    for (const a of ONE) {
      for (const b of ONE) {
        if (!patternWithin(a, b)) continue;
        inside += 1;
        const lost = NAMES.find((name) => admits(a, name) && !admits(b, name));
        if (lost !== undefined) expect.fail(`${a.text} within ${b.text} loses ${lost}`);
      }
    }
    expect(inside).toBeGreaterThan(ONE.length);
  });

  it('treat ** as one or more segments, at the end only', () => {
    const texts = [
      'a/**',
      '*/**',
      '**',
      'a/*',
      'a/*/**',
      'a',
      '*',
      'a/b',
      'a/*/b',
      'b*/**',
      '*b/a/**',
    ];
    const many = texts.map(pattern);
    const segments = ['a', 'b', 'ab'];
    const names = segments.flatMap((x) => [
      x,
      ...segments.flatMap((y) => [`${x}/${y}`, ...segments.map((z) => `${x}/${y}/${z}`)]),
    ]);
    for (const a of many) {
      for (const name of names) expect(admits(a, name)).toBe(patternAdmits(a.text, name, '/'));
      for (const b of many) {
        const both = meetPattern(a, b, 64) ?? [];
        for (const name of names) {
          const expected = admits(a, name) && admits(b, name);
          expect(
            both.some((one) => admits(one, name)),
            `${a.text} with ${b.text} on ${name}`,
          ).toBe(expected);
          if (patternWithin(a, b) && admits(a, name)) expect(admits(b, name)).toBe(true);
        }
      }
    }
  });
});

describe('a pattern', () => {
  it.each([
    ['ab*ba', 'aba', false],
    ['ab*ba', 'abba', true],
    ['a*', 'a', true],
    ['*', 'x', true],
    ['a/*', 'a/b/c', false],
    ['a/**', 'a', false],
    ['A', 'a', false],
  ])('%s on %s: %s', (text, name, expected) => {
    expect(admits(pattern(text), name)).toBe(expected);
  });

  it.each([
    '',
    'a//b',
    '/a',
    'a/',
    'a**',
    '**/a',
    '*a*',
    'a/../b',
    '.',
    '..',
    'a%2fb',
    'a b',
    'a\\b',
    'a;b',
    'a?b',
    '[ab]',
    '{a,b}',
    'a\u0000',
    'e\u0301',
    '\u202ea',
    '\u200da',
    'a/***',
    'a#b',
    'a|b',
  ])('refuses %j instead of repairing it', (text) => {
    expect(readPattern(text, '/')).toBeUndefined();
  });

  it('keeps its limits: 512 characters without stars, 32 segments', () => {
    expect(readPattern('a'.repeat(LIMITS.nameLength), '/')).toBeDefined();
    expect(readPattern(`${'a'.repeat(LIMITS.nameLength)}*`, '/')).toBeDefined();
    expect(readPattern('a'.repeat(LIMITS.nameLength + 1), '/')).toBeUndefined();
    expect(readPattern(Array(32).fill('a').join('/'), '/')).toBeDefined();
    expect(readPattern(Array(33).fill('a').join('/'), '/')).toBeUndefined();
  });

  it('has no middle dot segment in an action', () => {
    expect(readPattern('a.*.b', '.')).toBeDefined();
    expect(readPattern('a..b', '.')).toBeUndefined();
  });

  it('says that a meet is too large instead of cutting it', () => {
    const a = pattern(Array(16).fill('ab*').join('/'));
    const b = pattern(Array(16).fill('*ba').join('/'));
    expect(meetPattern(a, b, LIMITS.working)).toBeUndefined();
  });
});

describe('a name', () => {
  it.each(['é', 'S-100', "o'neil", 'a.b', '名', 'a+b=c,d!e$f&g(h)', '٣'])('may be %j', (text) => {
    expect(splitName(text, '/')).toEqual([text]);
  });

  it.each(['', '*', 'a*', '.', 'a/./b', 'e\u0301', 'a%41', '\ud800', 'a\n', '½', '²'])(
    'is not %j',
    (text) => {
      expect(splitName(text, '/')).toBeUndefined();
    },
  );
});
