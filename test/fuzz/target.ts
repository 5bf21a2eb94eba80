import * as fc from 'fast-check';

/** What is fuzzed: one batch of runs under one seed. */
export interface Target {
  readonly name: string;
  readonly says: string;
  batch(options: { numRuns: number; seed: number; path?: string | undefined }): Promise<Batch>;
}

export interface Batch {
  readonly runs: number;
  /** What the runs reached, by name; added up over batches. */
  readonly counts: Readonly<Record<string, number>>;
  readonly failure?: {
    readonly seed: number;
    readonly path: string;
    readonly counterexample: string;
    readonly error: string;
  };
}

/** A property whose `holds` throws where it is broken, and names what the run reached where not. */
export function target<T>(given: {
  name: string;
  says: string;
  arbitrary: fc.Arbitrary<T>;
  holds: (value: T) => string | Promise<string>;
}): Target {
  return {
    name: given.name,
    says: given.says,
    async batch({ numRuns, seed, path }) {
      const counts: Record<string, number> = {};
      const property = fc.asyncProperty(given.arbitrary, async (value) => {
        const reached = await given.holds(value);
        counts[reached] = (counts[reached] ?? 0) + 1;
      });
      const details = await fc.check(property, {
        numRuns,
        seed,
        ...(path !== undefined && { path }),
      });
      const { errorInstance, counterexamplePath, counterexample } = details;
      return {
        runs: details.numRuns,
        counts,
        ...(details.failed && {
          failure: {
            seed: details.seed,
            path: counterexamplePath ?? '0',
            counterexample: fc.stringify(counterexample?.[0]),
            error: errorInstance instanceof Error ? errorInstance.message : String(errorInstance),
          },
        }),
      };
    },
  };
}
