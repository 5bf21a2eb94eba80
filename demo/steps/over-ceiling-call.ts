import { judgeCall } from './judge.ts';
import { orderOf } from './order.ts';
import { fact, type Step } from './step.ts';

export const overCeilingCall: Step = {
  id: 'over-ceiling-call',
  title: 'It is tried with the token that Bob’s agent has',
  scene: ['Same token, same action, same supplier; only the amount is 9,000 EUR.'],
  expected: 'deny',
  async run(world) {
    const judged = await judgeCall(world, () => orderOf(world.memory.order, world.erp.url, 9_000), {
      status: 403,
      decision: 'deny',
      reason: 'scope_constraint',
      user: 'bob',
      agents: ['procurement-agent'],
      action: 'orders.create',
      resource: 'erp/orders',
    });
    const { miss } = judged.line.record;
    return {
      ...judged,
      facts: [
        ...judged.facts,
        fact(
          'the record names the constraint: amount, max',
          [miss?.path, miss?.test],
          ['amount', 'max'],
        ),
      ],
    };
  },
};
