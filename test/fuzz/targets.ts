import * as algebra from '@remit/capability/scope';
import type { Law } from '../../packages/capability/src/scope/test-support/law.ts';
import { LAWS } from '../../packages/capability/src/scope/test-support/law-table.ts';
import { FORM_LAWS } from '../../packages/capability/src/scope/test-support/law-table-forms.ts';
import type { Target } from './target.ts';
import { textTargets } from './text.ts';
import { tokenTargets } from './tokens.ts';

/** A law of the algebra, run against an implementation: the real one, or a broken one in a test. */
export function lawTarget(law: Law, of = algebra as Parameters<Law['check']>[0]): Target {
  return {
    name: `law:${law.name}`,
    says: law.says,
    async batch(options) {
      const { failed, runs, counts, seed, path, counterexample, error } = law.check(of, options);
      return {
        runs,
        counts,
        ...(failed && {
          failure: {
            seed,
            path: path ?? '0',
            counterexample: JSON.stringify(counterexample),
            error,
          },
        }),
      };
    },
  };
}

export const targets: readonly Target[] = [
  ...[...LAWS, ...FORM_LAWS].map((law) => lawTarget(law)),
  ...textTargets,
  ...tokenTargets,
];
