import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  meet,
  narrower,
  type Operation,
  parseOperation,
  permits,
  type Scope,
  samples,
  scope,
  within,
} from './index.ts';
import { operationNear, written } from './test-support/arbitraries.ts';
import { naiveAdmits, naiveLocal, type WrittenPermission } from './test-support/naive.ts';
import { narrowed } from './test-support/narrow.ts';
import { configureRuns, tally } from './test-support/runs.ts';

beforeAll(configureRuns);

function met(a: Scope, b: Scope): Scope {
  const result = meet(a, b);
  if (!result.ok) throw new Error('the generators stay below every limit');
  return result.scope;
}

const asWritten = (made: Scope) => made.permissions as unknown as WrittenPermission[];
const equivalent = (a: Scope, b: Scope) => within(a, b) && within(b, a);
const admits = (made: Scope, operation: Operation) => permits(made, operation).ok;

const one = written.chain((a) => fc.tuple(fc.constant(a), operationNear(a)));
const two = fc
  .tuple(written, written)
  .chain(([a, b]) => fc.tuple(fc.constant(a), fc.constant(b), operationNear([...a, ...b])));
/** A scope, one mostly within it, and an operation near both. */
const pair = written.chain((parent) =>
  narrowed(parent).chain((child) =>
    fc.tuple(fc.constant(child), fc.constant(parent), operationNear([...child, ...parent])),
  ),
);

// Each goes red when its function is broken; tried: `argsWithin` says yes always (five laws),
// `ruleImplied` forgets `optional` (narrower) or sure absence (reflexive, greatest), `meetArgs` keeps
// one side only (exact, order), `meetRules` makes a demanded argument absent (greatest), `permits`
// takes an online permission first (naive reading). Single tests: constraint.test.ts, pattern.test.ts.
describe('the algebra', () => {
  it('admits exactly what the naive reading of the written permissions admits', () => {
    const seen = tally('hit', 'action', 'resource', 'args', 'constraint');
    fc.assert(
      fc.property(one, ([permissions, operation]) => {
        const result = permits(scope(permissions), parseOperation(operation));
        seen.add(result.ok ? 'hit' : result.miss.kind);
        expect(result.ok).toBe(naiveAdmits(permissions, operation));
        expect(result.ok && !result.online).toBe(naiveLocal(permissions, operation));
      }),
    );
    console.info(`permits: ${seen.line()}`);
    for (const kind of ['hit', 'args', 'constraint'] as const) {
      expect(seen.share(kind), kind).toBeGreaterThan(0.02);
    }
  });

  it('meets in exactly what both admit, and asks online where one of them does', () => {
    const seen = tally('both', 'one', 'none');
    fc.assert(
      fc.property(two, ([a, b, operation]) => {
        const inA = naiveAdmits(a, operation);
        const inB = naiveAdmits(b, operation);
        seen.add(inA && inB ? 'both' : inA || inB ? 'one' : 'none');
        const result = permits(met(scope(a), scope(b)), parseOperation(operation));
        expect(result.ok).toBe(inA && inB);
        const local = naiveLocal(a, operation) && naiveLocal(b, operation);
        expect(result.ok && !result.online).toBe(local);
      }),
    );
    console.info(`meet: ${seen.line()}`);
    expect(seen.share('both')).toBeGreaterThan(0.01);
  });

  it('is exact where related scopes meet', () => {
    const seen = tally('both', 'one', 'none');
    fc.assert(
      fc.property(pair, ([child, parent, operation]) => {
        const inA = naiveAdmits(child, operation);
        const inB = naiveAdmits(parent, operation);
        seen.add(inA && inB ? 'both' : inA || inB ? 'one' : 'none');
        const both = met(scope(child), scope(parent));
        expect(admits(both, parseOperation(operation))).toBe(inA && inB);
      }),
    );
    console.info(`meet of related: ${seen.line()}`);
    expect(seen.share('both')).toBeGreaterThan(0.1);
  });

  it('admits in b what it admits in a, wherever a is within b', () => {
    const seen = tally('within, hit', 'within, miss', 'outside');
    fc.assert(
      fc.property(pair, ([child, parent, operation]) => {
        if (!within(scope(child), scope(parent))) return void seen.add('outside');
        const admitted = naiveAdmits(child, operation);
        seen.add(admitted ? 'within, hit' : 'within, miss');
        if (admitted) expect(naiveAdmits(parent, operation)).toBe(true);
        if (naiveLocal(child, operation)) expect(naiveLocal(parent, operation)).toBe(true);
      }),
    );
    console.info(`within: ${seen.line()}`);
    expect(seen.share('within, hit')).toBeGreaterThan(0.1);
  });

  it('finds each scope within itself', () => {
    fc.assert(
      fc.property(written, (a) => {
        expect(within(scope(a), scope(a))).toBe(true);
      }),
    );
  });

  it('finds what is within a part also within the whole', () => {
    const seen = tally('chain', 'broken');
    const three = written.chain((c) =>
      narrowed(c).chain((b) =>
        fc.tuple(
          narrowed(b).map((a) => scope(a)),
          fc.constant(scope(b)),
          fc.constant(scope(c)),
        ),
      ),
    );
    fc.assert(
      fc.property(three, ([a, b, c]) => {
        const chain = within(a, b) && within(b, c);
        seen.add(chain ? 'chain' : 'broken');
        if (chain) expect(within(a, c)).toBe(true);
      }),
    );
    console.info(`transitive: ${seen.line()}`);
    expect(seen.share('chain')).toBeGreaterThan(0.1);
  });

  it('meets within both, and whatever is within both is within the meet', () => {
    const seen = tally('within both', 'not');
    const triple = fc.tuple(written, written).chain(([a, b]) => {
      const parts = [scope(a), scope(b)] as const;
      const both = met(...parts);
      return fc.tuple(
        fc.constant(parts),
        fc.constant(both),
        fc.oneof(narrowed(asWritten(both)), narrowed([...a, ...b])),
      );
    });
    fc.assert(
      fc.property(triple, ([[a, b], both, c]) => {
        expect(within(both, a)).toBe(true);
        expect(within(both, b)).toBe(true);
        const third = scope(c);
        const inside = within(third, a) && within(third, b) && third.permissions.length > 0;
        seen.add(inside ? 'within both' : 'not');
        if (inside) expect(within(third, both)).toBe(true);
      }),
    );
    console.info(`greatest: ${seen.line()}`);
    expect(seen.share('within both')).toBeGreaterThan(0.05);
  });

  it('meets in any order and grouping, and with itself in itself', () => {
    fc.assert(
      fc.property(written, written, written, (x, y, z) => {
        const [a, b, c] = [scope(x), scope(y), scope(z)];
        expect(equivalent(met(a, a), a)).toBe(true);
        expect(equivalent(met(a, b), met(b, a))).toBe(true);
        expect(equivalent(met(met(a, b), c), met(a, met(b, c)))).toBe(true);
      }),
    );
  });

  it('brings a normal form to itself', () => {
    fc.assert(
      fc.property(written, (a) => {
        const once = scope(a);
        const again = scope(JSON.parse(JSON.stringify(once)));
        expect(again.permissions).toEqual(once.permissions);
      }),
    );
  });

  it('samples only what the scope admits', () => {
    let count = 0;
    fc.assert(
      fc.property(written, (a) => {
        for (const operation of samples(scope(a)).slice(0, 40)) {
          count += 1;
          expect(naiveAdmits(a, operation as never)).toBe(true);
        }
      }),
    );
    console.info(`samples: ${count}`);
    expect(count).toBeGreaterThan(1000);
  });

  it('shows a narrower scope by an operation that the parent admits and the child refuses', () => {
    const seen = tally('shown', 'within, not shown', 'outside');
    fc.assert(
      fc.property(pair, ([child, parent]) => {
        const [c, p] = [scope(child), scope(parent)];
        const operation = narrower(c, p);
        if (operation === undefined) {
          return void seen.add(within(c, p) ? 'within, not shown' : 'outside');
        }
        seen.add('shown');
        expect(within(c, p)).toBe(true);
        expect(naiveAdmits(parent, operation as never)).toBe(true);
        expect(naiveAdmits(child, operation as never)).toBe(false);
      }),
    );
    console.info(`narrower: ${seen.line()}`);
    expect(seen.share('shown')).toBeGreaterThan(0.1);
  });
});
