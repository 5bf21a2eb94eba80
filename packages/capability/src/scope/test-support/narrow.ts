import * as fc from 'fast-check';
import type { WrittenPermission, WrittenTests } from './naive.ts';

type Change = (box: WrittenPermission, seed: number) => WrittenPermission;

const pin = (pattern: string, separator: string) =>
  pattern
    .split(separator)
    .map((segment) =>
      segment === '**' ? 'ab' : segment.replace('*', segment === '*' ? 'ba' : 'a'),
    )
    .join(separator);

export function tightenTests(tests: WrittenTests, seed: number): WrittenTests {
  if (tests.absent) return tests;
  if (tests.optional && seed % 5 === 0) return { absent: true };
  const tighter: WrittenTests = { ...tests };
  if (seed % 2 === 0) delete tighter.optional;
  if (tests.in) tighter.in = tests.in.slice(0, Math.max(1, tests.in.length - 1));
  if (tests.min !== undefined) tighter.min = Math.min(tests.min + (seed % 2), 2 ** 53 - 1);
  if (tests.max !== undefined) tighter.max = tests.max - (seed % 3 === 0 ? 1 : 0);
  if (tests.like) tighter.like = tests.like.map((pattern) => pin(pattern, '/'));
  if (tests.maxLength) tighter.maxLength = tests.maxLength - (seed % 2);
  if (tests.maxItems) tighter.maxItems = tests.maxItems - (seed % 2);
  if (tests.each) tighter.each = tightenTests(tests.each, seed + 1);
  return tighter;
}

/** One step wider, or without one of its tests. */
function loosenTests(tests: WrittenTests, seed: number): WrittenTests {
  const { [Object.keys(tests)[seed % 3] as keyof WrittenTests]: _, ...fewer } = tests;
  if (seed % 3 === 0) return { ...tests, optional: true };
  if (seed % 3 === 1) return fewer;
  return {
    ...tests,
    ...(tests.min !== undefined && { min: tests.min - 1 }),
    ...(tests.max !== undefined && { max: Math.min(tests.max + 1, 2 ** 53 - 1) }),
    ...(tests.maxLength !== undefined && { maxLength: tests.maxLength + 1 }),
    ...(tests.maxItems !== undefined && { maxItems: tests.maxItems + 1 }),
  };
}

const withTests =
  (change: (tests: WrittenTests, seed: number) => WrittenTests): Change =>
  (box, seed) => ({
    ...box,
    constraints: Object.fromEntries(
      Object.entries(box.constraints ?? {}).map(([path, tests]) => [path, change(tests, seed)]),
    ),
  });

const CHANGES: readonly Change[] = [
  (box) => box,
  (box) => ({ ...box, actions: box.actions.map((pattern) => pin(pattern, '.')) }),
  (box) => ({ ...box, resources: box.resources.map((pattern) => pin(pattern, '/')) }),
  (box, seed) => ({ ...box, resources: [box.resources[seed % box.resources.length] as string] }),
  (box) => ({ ...box, args: box.args === 'any' ? ['x', 'y'] : box.args.slice(1) }),
  (box) => ({ ...box, check: 'online' }),
  withTests(tightenTests),
  withTests(tightenTests),
  (box, seed) => ({
    ...box,
    constraints: { ...box.constraints, y: { max: seed % 4, optional: true } },
  }),
  // From here on: wider, so that `within` has something to refuse.
  withTests(loosenTests),
  withTests(loosenTests),
  withTests(loosenTests),
  (box) => ({ ...box, actions: [...box.actions, 'a*'] }),
  (box) => ({ ...box, resources: ['erp/**'] }),
  (box) => ({ ...box, args: box.args === 'any' ? 'any' : [...box.args, 'x'] }),
  (box) => ({
    ...box,
    constraints: Object.fromEntries(Object.entries(box.constraints ?? {}).slice(1)),
  }),
  (box) => {
    const { check: _, ...local } = box;
    return local;
  },
];

/** What is mostly, not always, within the given permissions: some dropped, some tightened. */
export function narrowed(boxes: readonly WrittenPermission[]): fc.Arbitrary<WrittenPermission[]> {
  if (boxes.length === 0) return fc.constant([]);
  const step = fc.tuple(fc.nat(boxes.length - 1), fc.nat(CHANGES.length - 1), fc.nat(29));
  return fc.array(step, { minLength: 1, maxLength: 3 }).map((steps) =>
    steps.map(([which, change, seed]) => {
      const changed = (CHANGES[change] as Change)(boxes[which] as WrittenPermission, seed);
      return seed % 3 === 0
        ? (CHANGES[(change + seed) % CHANGES.length] as Change)(changed, seed)
        : changed;
    }),
  );
}
