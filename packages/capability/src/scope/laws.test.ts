import { describe, expect, it } from 'vitest';
import * as algebra from './index.ts';
import { reachedLine } from './test-support/law.ts';
import { LAWS } from './test-support/law-table.ts';
import { FORM_LAWS } from './test-support/law-table-forms.ts';
import { RUNS, SEED } from './test-support/runs.ts';

// Which broken algebra turns which law red is in mutants.test.ts.
describe('the algebra', () => {
  it.each([...LAWS, ...FORM_LAWS].map((law) => [law.name, law.says, law] as const))(
    'keeps the law %s: %s',
    (name, _, law) => {
      const result = law.check(algebra, { numRuns: RUNS, seed: SEED });
      console.info(reachedLine(name, result));
      if (result.failed) {
        expect.fail(
          `${result.error}; npm run fuzz -- --target law:${name} --seed ${result.seed} --path ${result.path}\n${JSON.stringify(result.counterexample)}`,
        );
      }
      for (const kind of ['hit', 'near'] as const) {
        expect(result.counts[kind] / result.runs, kind).toBeGreaterThanOrEqual(law.atLeast[kind]);
      }
    },
  );
});
