import { bareEvaluation, decisionBeside } from '../../../services/pdp/src/test/bench.ts';
import type { Bench } from '../harness.ts';

/** A decision of the pdp with its facts read: what the decision itself costs beside Cedar. */
export const decisions: readonly Bench[] = [
  {
    name: 'decision',
    says: 'one decision: three dimensions, the slice of guardrails, Cedar, the answer',
    baselineSays: 'one bare Cedar evaluation of that slice, parsed, its request made beforehand',
    targetRatio: 1.5,
    perRound: 1_000,
    setup: async () => ({ subject: decisionBeside(10), baseline: bareEvaluation() }),
  },
  {
    name: 'decision-10000',
    says: 'the same beside 9,999 guardrails that cannot apply',
    baselineSays: 'the same beside 10',
    targetRatio: 1.3,
    perRound: 1_000,
    setup: async () => ({ subject: decisionBeside(9_999), baseline: decisionBeside(10) }),
  },
];
