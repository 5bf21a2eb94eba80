import { judgeCall } from './judge.ts';
import type { Step } from './step.ts';

export const carolTerms: Step = {
  id: 'carol-terms',
  title: 'Carol of Legal asks the same agent for contract terms',
  scene: [
    'The same agent, the same morning, a third token. It opens one contract and nothing of Alice’s or Bob’s.',
  ],
  expected: 'allow',
  async run(world) {
    const terms = await world.agent('procurement-agent').startTask({
      idToken: await world.signIn('carol'),
      taskType: 'review-contract-terms',
      slots: { contract: 'C-7' },
      resource: world.erp.url,
    });
    world.memory.terms = terms;
    world.narrate.token(terms);
    return judgeCall(world, () => terms.fetch(`${world.erp.url}/contracts/C-7`), {
      status: 200,
      decision: 'allow',
      reason: 'permitted',
      rows: { reads: 1 },
      user: 'carol',
      agents: ['procurement-agent'],
      action: 'contracts.read',
      resource: 'erp/contracts/C-7',
    });
  },
};
