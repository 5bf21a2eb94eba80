import { judgeRefusal } from './refusal.ts';
import type { Step } from './step.ts';

export const overCeilingMint: Step = {
  id: 'over-ceiling-mint',
  title: 'An order above Bob’s ceiling is asked for in the token',
  scene: [
    'The agent may order up to 20,000 EUR for whoever may. Bob may 5,000. It asks for a token over 9,000 on Bob’s behalf.',
  ],
  expected: 'refused',
  async run(world) {
    const idToken = await world.signIn('bob');
    return judgeRefusal(
      world,
      () =>
        world.agent('procurement-agent').startTask({
          idToken,
          taskType: 'raise-purchase-order',
          slots: { supplier: 'S-100', ceiling: 9_000 },
          resource: world.erp.url,
          requested: [
            {
              actions: ['orders.create'],
              resources: ['erp/orders'],
              args: ['supplier', 'item', 'amount', 'currency'],
              constraints: {
                supplier: { in: ['S-100'] },
                amount: { min: 0, max: 9_000 },
                currency: { in: ['EUR'] },
              },
            },
          ],
        }),
      {
        asks: 'orders.create on erp/orders: supplier S-100, amount up to 9,000, currency EUR',
        error: 'invalid_authorization_details',
        reason: 'user_entitlement',
        dimension: 'user',
        user: 'bob',
      },
    );
  },
};
