import * as fc from 'fast-check';
import type * as scopeModule from '../index.ts';

/** What a law speaks of: the algebra, or a broken copy of it. */
export type Algebra = Pick<
  typeof scopeModule,
  'excess' | 'meet' | 'narrower' | 'parseOperation' | 'permits' | 'samples' | 'scope' | 'within'
>;

/**
 * What one run reached. `hit`: the law had something to say and it was true; `near`: it just missed
 * that, by one side or one half of its premise; `far`: anything else.
 */
export type Reached = 'hit' | 'near' | 'far';
const REACHED = ['hit', 'near', 'far'] as const satisfies readonly Reached[];

export interface Law {
  readonly name: string;
  /** The law as a sentence. */
  readonly says: string;
  /** The least share of runs that must hit and nearly miss; a generator below tests too little. */
  readonly atLeast: { readonly hit: number; readonly near: number };
  /** Runs it against an implementation; `counts` are added up as it goes. */
  check(of: Algebra, options: LawOptions): LawResult;
}

export interface LawOptions {
  readonly numRuns: number;
  readonly seed: number;
  readonly path?: string | undefined;
  /** Stops at the first counterexample without shrinking it. */
  readonly endOnFailure?: boolean;
}

export interface LawResult {
  readonly failed: boolean;
  readonly runs: number;
  readonly counts: Readonly<Record<Reached, number>>;
  readonly seed: number;
  /** Leads to the shrunk counterexample under the same seed. */
  readonly path: string | undefined;
  readonly counterexample: unknown;
  readonly error: string;
}

class LawBroken extends Error {}

/** Throws where a law doesn't hold; `what` is a short fact for the reader of the report. */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new LawBroken(what);
}

export function law<T>(given: {
  name: string;
  says: string;
  atLeast?: { hit?: number; near?: number };
  arbitrary: fc.Arbitrary<T>;
  holds: (of: Algebra, value: T) => Reached;
}): Law {
  const { name, says, atLeast = {}, arbitrary, holds } = given;
  return {
    name,
    says,
    atLeast: { hit: 0, near: 0, ...atLeast },
    check(of, { numRuns, seed, path, endOnFailure = false }) {
      const counts = { hit: 0, near: 0, far: 0 };
      const property = fc.property(arbitrary, (value) => {
        counts[holds(of, value)] += 1;
      });
      const options = { numRuns, seed, endOnFailure, ...(path !== undefined && { path }) };
      const details = fc.check(property, options);
      return {
        failed: details.failed,
        runs: details.numRuns,
        counts,
        seed: details.seed,
        path: details.counterexamplePath ?? undefined,
        counterexample: details.counterexample?.[0],
        error: details.errorInstance instanceof Error ? details.errorInstance.message : '',
      };
    },
  };
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** One line of the table of what the generators reached. */
export function reachedLine(name: string, { runs, counts }: LawResult): string {
  const cells = REACHED.map((kind) => `${kind} ${percent(counts[kind] / Math.max(1, runs))}`);
  return `${name.padEnd(24)} ${String(runs).padStart(7)} runs  ${cells.join('  ')}`;
}
