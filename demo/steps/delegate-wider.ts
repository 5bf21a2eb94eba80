import { judgeRefusal } from './refusal.ts';
import type { Step } from './step.ts';

export const delegateWider: Step = {
  id: 'delegate-wider',
  title: 'The risk analyst asks for more than it was given',
  scene: ['It holds one action. It asks the issuer for a token of two, for the report writer.'],
  expected: 'refused',
  async run(world) {
    const actorToken = await world.agent('report-writer').actorToken();
    return judgeRefusal(
      world,
      () =>
        world.agent('risk-analyst').delegate(world.memory.risk, {
          actorToken,
          requested: [
            {
              actions: ['suppliers.read', 'suppliers.risk.read'],
              resources: ['erp/suppliers/S-100'],
              args: [],
            },
          ],
        }),
      {
        asks: 'suppliers.read, suppliers.risk.read on erp/suppliers/S-100 for report-writer',
        error: 'invalid_authorization_details',
        reason: 'task_scope',
        dimension: 'task',
        user: 'bob',
      },
    );
  },
};
