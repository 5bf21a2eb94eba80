import { createHash } from 'node:crypto';
import { meet, parseOperation, permits, type Scope, scope, within } from '@remit/capability/scope';
import { parseJsonStrict } from '@remit/contracts';
import type { Bench } from '../harness.ts';

/** As a task type of an ERP grows: names in five areas, arguments with bounds, the last is called. */
function erp(count: number, ceiling: number) {
  return Array.from({ length: count }, (_, i) => ({
    actions: [`area${i % 5}.read${i}`, `area${i % 5}.change${i}`],
    resources: [`erp/area${i % 5}/S-*`, `erp/shared${i}/**`],
    args: ['amount', 'currency', 'supplier'],
    constraints: {
      amount: { min: 1, max: ceiling },
      currency: { in: ['EUR', 'USD'] },
      supplier: { like: ['S-*'], optional: true },
    },
  }));
}

const OPERATION = {
  action: 'area4.change19',
  resource: 'erp/area4/S-100',
  args: { amount: 250, currency: 'EUR', supplier: 'S-100' },
};

const cheap = (name: string, says: string, subject: () => unknown): Bench => ({
  name,
  says,
  baselineSays: 'one SHA-256 of 1 KB',
  perRound: 20_000,
  setup: async () => {
    const bytes = Buffer.alloc(1024, 'x');
    return { subject, baseline: () => createHash('sha256').update(bytes).digest() };
  },
});

const twenty = scope(erp(20, 1000));
const narrow = scope(erp(20, 500));
const operation = parseOperation(OPERATION);

/** The same work on input of twice the size: a ratio near 2 is linear, near 4 quadratic. */
function growth(
  name: string,
  says: string,
  size: number,
  make: (size: number) => () => unknown,
  perRound = 200,
): Bench {
  return {
    name: `growth-${name}`,
    says: `${says}, ${2 * size}`,
    baselineSays: `the same, ${size}`,
    targetRatio: 2.8,
    perRound,
    setup: async () => ({ subject: make(2 * size), baseline: make(size) }),
  };
}

const oneValue = (tests: object): Scope =>
  scope([{ actions: ['a'], resources: ['r'], args: 'any', constraints: { v: tests } }]);
const judged = (of: Scope, value: unknown) => {
  const asked = parseOperation({ action: 'a', resource: 'r', args: { v: value } });
  return () => permits(of, asked);
};
const listed = (size: number, end: string) =>
  scope([
    {
      actions: ['a'],
      resources: ['r'],
      args: Array.from({ length: size }, (_, i) => `${'k.'.repeat(14)}${end}${i}`),
    },
  ]);
const resources = (...patterns: string[]) =>
  scope([{ actions: ['a'], resources: patterns, args: [] }]);
const tried = (text: string) => () => {
  try {
    return parseJsonStrict(text);
  } catch (error) {
    return error;
  }
};

const growths: readonly Bench[] = [
  growth('arguments', 'a call with so many arguments copied and judged', 2000, (size) => {
    const args = Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}`, i]));
    const open = oneValue({ optional: true });
    return () => permits(open, parseOperation({ action: 'a', resource: 'r', args }));
  }),
  growth('url', 'a URL of dot segments, in characters', 50_000, (size) =>
    judged(
      oneValue({ hosts: ['corp.example'] }),
      `https://corp.example/${'é/../'.repeat(size / 5)}`,
    ),
  ),
  growth('host', 'a host of different letters, in letters', 5000, (size) =>
    judged(
      oneValue({ hosts: ['corp.example'] }),
      `https://${Array.from({ length: size }, (_, i) => String.fromCodePoint(0x4e00 + i)).join('')}/`,
    ),
  ),
  growth(
    'max-length',
    'code points counted under a maxLength just above, in letters',
    50_000,
    (size) => judged(oneValue({ maxLength: size }), '𝒳'.repeat(size)),
  ),
  growth('in', 'a listed value compared, in members', 1000, (size) => {
    const of = oneValue({ in: [Array.from({ length: size }, (_, i) => ({ [`k${i}`]: i }))] });
    const value = Array.from({ length: size }, (_, i) => ({ [`k${i}`]: i }));
    return () => permits(of, parseOperation({ action: 'a', resource: 'r', args: { v: value } }));
  }),
  growth('pattern', 'halves of stars that nearly overlap, met, in letters', 128, (size) => {
    const [a, b] = [resources(`${'a'.repeat(size)}b*`), resources(`*${'a'.repeat(size)}`)];
    return () => meet(a, b);
  }),
  growth('paths', 'lists of argument paths met, in paths', 128, (size) => {
    const [a, b] = [listed(size, 'x'), listed(size, 'x')];
    return () => meet(a, b);
  }),
  growth(
    'json-names',
    'JSON of so many names',
    20_000,
    (size) => tried(`{${Array.from({ length: size }, (_, i) => `"k${i}":1`).join(',')}}`),
    20,
  ),
  growth(
    'json-quotes',
    'a text of escaped quotes that never ends, in characters',
    200_000,
    (size) => tried(`"${'\\"'.repeat(size / 2)}`),
    50,
  ),
  growth(
    'json-brackets',
    'lists side by side, in characters',
    200_000,
    (size) => tried(`[${'[],'.repeat(size / 3)}[]]`),
    20,
  ),
];

export const algebra: readonly Bench[] = [
  {
    ...cheap('permits-20', 'a call judged by the last of 20 permissions', () =>
      permits(twenty, operation),
    ),
    targetRatio: 2,
  },
  cheap('parse-operation', 'a call with three arguments copied and checked', () =>
    parseOperation(OPERATION),
  ),
  {
    ...cheap('within-20', '20 permissions within 20', () => within(narrow, twenty)),
    perRound: 2000,
  },
  { ...cheap('meet-20', '20 permissions met with 20', () => meet(narrow, twenty)), perRound: 2000 },
  {
    ...cheap('scope-20', '20 permissions read from JSON', () => scope(erp(20, 1000))),
    perRound: 500,
  },
  {
    ...growth(
      'boxes',
      'scopes of permissions met, which is quadratic in permissions',
      32,
      (size) => {
        const [a, b] = [scope(erp(size, 1000)), scope(erp(size, 500))];
        return () => meet(a, b);
      },
    ),
    targetRatio: 4.5,
  },
  ...growths,
];
