import { judgeCall } from './judge.ts';
import { orderOf } from './order.ts';
import type { Step } from './step.ts';

export const bobOrder: Step = {
  id: 'bob-order',
  title: 'Bob of Operations raises a purchase order',
  scene: [
    'Bob needs industrial lubricant. His token orders from one supplier, up to what Bob may spend: 5,000 EUR.',
  ],
  expected: 'allow',
  async run(world) {
    const order = await world.agent('procurement-agent').startTask({
      idToken: await world.signIn('bob'),
      taskType: 'raise-purchase-order',
      slots: { supplier: 'S-100', ceiling: 5_000 },
      resource: world.erp.url,
    });
    world.memory.order = order;
    world.narrate.token(order);
    return judgeCall(world, () => orderOf(order, world.erp.url, 1_200), {
      status: 201,
      decision: 'allow',
      reason: 'permitted',
      rows: { orders: 1 },
      user: 'bob',
      agents: ['procurement-agent'],
      action: 'orders.create',
      resource: 'erp/orders',
    });
  },
};
