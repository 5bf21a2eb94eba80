import { judgeRefusal } from './refusal.ts';
import type { Step } from './step.ts';

export const beyondEnvelope: Step = {
  id: 'beyond-envelope',
  title: 'A user who may, a task that names it, an agent that never may',
  scene: [
    'Carol may terminate contracts, and there is a task for it. The procurement agent was never meant to.',
  ],
  expected: 'refused',
  async run(world) {
    const idToken = await world.signIn('carol');
    return judgeRefusal(
      world,
      () =>
        world.agent('procurement-agent').startTask({
          idToken,
          taskType: 'terminate-contract',
          slots: { contract: 'C-7' },
          resource: world.erp.url,
        }),
      {
        asks: 'task terminate-contract for C-7',
        error: 'invalid_authorization_details',
        reason: 'agent_envelope',
        dimension: 'agent',
        user: 'carol',
      },
    );
  },
};
