import { judgeCall } from './judge.ts';
import type { Step } from './step.ts';

export const wrongJob: Step = {
  id: 'wrong-job',
  title: 'The same token is used to read contract terms',
  scene: [
    'The agent may read contracts for people in Legal. It tries to with the token of Alice’s task.',
  ],
  expected: 'deny',
  async run(world) {
    const { summary } = world.memory;
    return judgeCall(world, () => summary.fetch(`${world.erp.url}/contracts/C-7`), {
      status: 403,
      decision: 'deny',
      reason: 'scope_action',
      user: 'alice',
      agents: ['procurement-agent'],
      action: 'contracts.read',
      resource: 'erp/contracts/C-7',
    });
  },
};
