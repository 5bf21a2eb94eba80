import { judgeCall } from './judge.ts';
import { orderOf } from './order.ts';
import { judgeRefusal } from './refusal.ts';
import { fact, type Step } from './step.ts';

export const leaver: Step = {
  id: 'leaver',
  title: 'Bob leaves the company',
  scene: [
    'Dora disables Bob in the registry and nowhere else. His agent holds a token that was minted a moment ago.',
  ],
  expected: 'deny',
  async run(world) {
    const idToken = await world.signIn('bob');
    const start = () =>
      world.agent('procurement-agent').startTask({
        idToken,
        taskType: 'raise-purchase-order',
        slots: { supplier: 'S-100', ceiling: 5_000 },
        resource: world.erp.url,
      });
    const order = await start();
    await world.admin('dora', 'registry', '/users/bob/disable');
    const ms = await world.until(async () => {
      const response = await orderOf(order, world.erp.url, 0.5);
      return response.status === 401;
    });
    const refused = await judgeCall(world, () => orderOf(order, world.erp.url, 800), {
      status: 401,
      decision: 'deny',
      reason: 'user_revoked',
      user: 'bob',
      agents: ['procurement-agent'],
      action: 'orders.create',
      resource: 'erp/orders',
    });
    const renewed = await judgeRefusal(world, start, {
      asks: 'task raise-purchase-order for Bob',
      error: 'invalid_request',
      reason: 'user_inactive',
      user: 'bob',
    });
    return {
      ...refused,
      facts: [
        fact(`his token is refused within a second (${Math.round(ms)} ms)`, ms < 1_000, true),
        ...refused.facts,
        ...renewed.facts,
      ],
    };
  },
};
