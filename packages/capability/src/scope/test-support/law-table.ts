import * as fc from 'fast-check';
import { meet, type Scope, scope } from '../index.ts';
import { operationNear, related, testPair, written } from './arbitraries.ts';
import { type Algebra, type Law, law, must, type Reached } from './law.ts';
import {
  naiveAdmits,
  naiveLocal,
  naiveReach,
  passes,
  type WrittenOperation,
  type WrittenPermission,
} from './naive.ts';
import { narrowed } from './narrow.ts';

type Boxes = WrittenPermission[];
const asWritten = (made: Scope) => made.permissions as unknown as Boxes;

function met(of: Algebra, a: Scope, b: Scope): Scope {
  const result = of.meet(a, b);
  must(result.ok, 'the generators stay below every limit');
  return (result as { scope: Scope }).scope;
}

const equivalent = (of: Algebra, a: Scope, b: Scope) => of.within(a, b) && of.within(b, a);

const one = written.chain((a) => fc.tuple(fc.constant(a), operationNear(a)));
const two = fc
  .tuple(written, written)
  .chain(([a, b]) => fc.tuple(fc.constant(a), fc.constant(b), operationNear([...a, ...b])));
const beside = related.chain(([a, b]) =>
  fc.tuple(fc.constant(a), fc.constant(b), operationNear([...a, ...b])),
);
/** A scope, one mostly within it, and an operation near both. */
const pair = written.chain((parent) =>
  narrowed(parent).chain((child) =>
    fc.tuple(fc.constant(child), fc.constant(parent), operationNear([...child, ...parent])),
  ),
);
const three = written.chain((c) =>
  narrowed(c).chain((b) => fc.tuple(narrowed(b), fc.constant(b), fc.constant(c))),
);
/** Two scopes and one that is mostly within both. The meet is the real one, also for broken algebras. */
const underBoth = fc.oneof(fc.tuple(written, written), related).chain(([a, b]) => {
  const both = meet(scope(a), scope(b));
  const common = both.ok ? asWritten(both.scope) : [];
  return fc.tuple(
    fc.constant(a),
    fc.constant(b),
    common.length === 0 ? narrowed([...a, ...b]) : narrowed(common),
  );
});

/** Of two scopes: both admit it; each does or misses it by one side; anything else. */
function reachOfBoth(a: Boxes, b: Boxes, operation: WrittenOperation): Reached {
  const reached = [naiveReach(a, operation), naiveReach(b, operation)];
  if (reached.includes('far')) return 'far';
  return reached.includes('near') ? 'near' : 'hit';
}

function holdsExact(of: Algebra, [a, b, operation]: readonly [Boxes, Boxes, WrittenOperation]) {
  const result = of.permits(met(of, of.scope(a), of.scope(b)), of.parseOperation(operation));
  const expected = naiveAdmits(a, operation) && naiveAdmits(b, operation);
  must(result.ok === expected, `the meet says ${result.ok}, both together say ${expected}`);
  const local = naiveLocal(a, operation) && naiveLocal(b, operation);
  must((result.ok && !result.online) === local, 'what is online in one is online in the meet');
  return reachOfBoth(a, b, operation);
}

const single = (tests: object) => [
  { actions: ['pay'], resources: ['erp/x'], args: 'any', constraints: { v: tests } },
];

/** The laws of meet and within: what each of them promises about operations and about the other. */
export const LAWS: readonly Law[] = [
  law({
    name: 'permits',
    says: 'permits admits exactly what the naive reading of the written permissions admits, and asks online where no local permission does',
    atLeast: { hit: 0.25, near: 0.25 },
    arbitrary: one,
    holds(of, [permissions, operation]) {
      const result = of.permits(of.scope(permissions), of.parseOperation(operation));
      const expected = naiveAdmits(permissions, operation);
      must(result.ok === expected, `permits says ${result.ok}, the naive reading ${expected}`);
      const local = naiveLocal(permissions, operation);
      must((result.ok && !result.online) === local, `online, the naive reading is local: ${local}`);
      return naiveReach(permissions, operation);
    },
  }),
  law({
    name: 'tests',
    says: 'every test of an argument passes, meets and lies within another as the naive reading says',
    atLeast: { hit: 0.15, near: 0.3 },
    arbitrary: testPair,
    holds(of, { a, b, values }) {
      const [first, second] = [of.scope(single(a)), of.scope(single(b))];
      const both = met(of, first, second);
      const inside = of.within(first, second);
      let reached: Reached = 'far';
      for (const v of values) {
        const operation = of.parseOperation({ action: 'pay', resource: 'erp/x', args: { v } });
        const [inA, inB] = [passes(v, a), passes(v, b)];
        must(of.permits(first, operation).ok === inA, `the naive reading of a says ${inA}`);
        must(of.permits(both, operation).ok === (inA && inB), `the meet must say ${inA && inB}`);
        must(!(inside && inA) || inB, 'a is within b, so what passes a passes b');
        if (inA && inB) reached = 'hit';
        else if (inA !== inB && reached === 'far') reached = 'near';
      }
      return reached;
    },
  }),
  law({
    name: 'meet-exact',
    says: 'permits(meet(a, b), op) exactly where permits(a, op) and permits(b, op), for any two scopes',
    atLeast: { hit: 0.02, near: 0.15 },
    arbitrary: two,
    holds: holdsExact,
  }),
  law({
    name: 'meet-exact-beside',
    says: 'permits(meet(a, b), op) exactly where permits(a, op) and permits(b, op), for scopes that share names and differ in arguments',
    atLeast: { hit: 0.1, near: 0.2 },
    arbitrary: beside,
    holds: holdsExact,
  }),
  law({
    name: 'meet-exact-related',
    says: 'permits(meet(a, b), op) exactly where permits(a, op) and permits(b, op), for one narrowed from the other',
    atLeast: { hit: 0.15, near: 0.2 },
    arbitrary: pair,
    holds: holdsExact,
  }),
  law({
    name: 'within-sound',
    says: 'within(a, b) and permits(a, op) imply permits(b, op), and what is local in a is local in b',
    atLeast: { hit: 0.1, near: 0.1 },
    arbitrary: pair,
    holds(of, [child, parent, operation]) {
      if (!of.within(of.scope(child), of.scope(parent))) return 'far';
      const admitted = naiveAdmits(child, operation);
      must(!admitted || naiveAdmits(parent, operation), 'the part admits what the whole refuses');
      must(
        !naiveLocal(child, operation) || naiveLocal(parent, operation),
        'the part is local where the whole is online',
      );
      return naiveReach(child, operation);
    },
  }),
  law({
    name: 'within-reflexive',
    says: 'every scope is within itself',
    atLeast: { hit: 0.75 },
    arbitrary: written,
    holds(of, a) {
      const made = of.scope(a);
      must(of.within(made, made), 'not within itself');
      must(of.excess(made, made) === undefined, 'it has too much for itself');
      return made.permissions.length > 0 ? 'hit' : 'far';
    },
  }),
  law({
    name: 'within-transitive',
    says: 'what is within a part is within the whole',
    atLeast: { hit: 0.2, near: 0.2 },
    arbitrary: three,
    holds(of, written3) {
      const [a, b, c] = written3.map((boxes) => of.scope(boxes)) as [Scope, Scope, Scope];
      const links = Number(of.within(a, b)) + Number(of.within(b, c));
      must(links < 2 || of.within(a, c), 'a in b and b in c, but a is not in c');
      if (links === 2) return a.permissions.length > 0 ? 'hit' : 'far';
      return links === 1 ? 'near' : 'far';
    },
  }),
  law({
    name: 'meet-lower-bound',
    says: 'the meet is within both',
    atLeast: { hit: 0.4 },
    arbitrary: fc.oneof(fc.tuple(written, written), related),
    holds(of, boxes) {
      const [a, b] = boxes.map((list) => of.scope(list)) as [Scope, Scope];
      const both = met(of, a, b);
      must(of.within(both, a), 'the meet is not within a');
      must(of.within(both, b), 'the meet is not within b');
      return both.permissions.length > 0 ? 'hit' : 'far';
    },
  }),
  law({
    name: 'meet-greatest',
    says: 'whatever is within both is within the meet',
    atLeast: { hit: 0.2, near: 0.15 },
    arbitrary: underBoth,
    holds(of, boxes) {
      const [a, b, c] = boxes.map((list) => of.scope(list)) as [Scope, Scope, Scope];
      const under = Number(of.within(c, a)) + Number(of.within(c, b));
      must(under < 2 || of.within(c, met(of, a, b)), 'within both, but not within their meet');
      if (under === 2) return c.permissions.length > 0 ? 'hit' : 'far';
      return under === 1 ? 'near' : 'far';
    },
  }),
  law({
    name: 'meet-idempotent',
    says: 'the meet of a scope with itself is that scope, up to within',
    atLeast: { hit: 0.75 },
    arbitrary: written,
    holds(of, a) {
      const made = of.scope(a);
      must(equivalent(of, met(of, made, made), made), 'meet(a, a) is not a');
      return made.permissions.length > 0 ? 'hit' : 'far';
    },
  }),
  law({
    name: 'meet-order-free',
    says: 'meet(a, b) is meet(b, a), up to within',
    atLeast: { hit: 0.4 },
    arbitrary: fc.oneof(fc.tuple(written, written), related),
    holds(of, boxes) {
      const [a, b] = boxes.map((list) => of.scope(list)) as [Scope, Scope];
      const both = met(of, a, b);
      must(equivalent(of, both, met(of, b, a)), 'meet(a, b) is not meet(b, a)');
      return both.permissions.length > 0 ? 'hit' : 'far';
    },
  }),
  law({
    name: 'meet-associative',
    says: 'meet(meet(a, b), c) is meet(a, meet(b, c)), up to within',
    atLeast: { hit: 0.3 },
    arbitrary: fc.oneof(fc.tuple(written, written, written), three, underBoth),
    holds(of, boxes) {
      const [a, b, c] = boxes.map((list) => of.scope(list)) as [Scope, Scope, Scope];
      const left = met(of, met(of, a, b), c);
      must(equivalent(of, left, met(of, a, met(of, b, c))), 'the grouping changes the meet');
      return left.permissions.length > 0 ? 'hit' : 'far';
    },
  }),
];
