import { judgeCall } from './judge.ts';
import type { Step } from './step.ts';

const who = { user: 'alice', agents: ['procurement-agent'], resource: 'erp/suppliers/S-100' };

export const aliceSummary: Step = {
  id: 'alice-summary',
  title: 'Alice of Treasury asks for a supplier risk summary',
  scene: [
    'Alice signs in at her company’s identity provider and asks the procurement agent for the risk of supplier S-100.',
    'It gets one token, for this task alone.',
  ],
  expected: 'allow',
  async run(world) {
    const summary = await world.agent('procurement-agent').startTask({
      idToken: await world.signIn('alice'),
      taskType: 'supplier-risk-summary',
      slots: { supplier: 'S-100' },
      resource: world.erp.url,
    });
    world.memory.summary = summary;
    world.narrate.token(summary);
    const read = await judgeCall(world, () => summary.fetch(`${world.erp.url}/suppliers/S-100`), {
      ...who,
      status: 200,
      decision: 'allow',
      reason: 'permitted',
      rows: { reads: 1 },
      action: 'suppliers.read',
    });
    const risk = await judgeCall(
      world,
      () => summary.fetch(`${world.erp.url}/suppliers/S-100/risk`),
      {
        ...who,
        status: 200,
        decision: 'allow',
        reason: 'permitted',
        rows: { reads: 1 },
        action: 'suppliers.risk.read',
      },
    );
    return {
      actual: read.actual === 'allow' ? risk.actual : read.actual,
      reason: risk.reason,
      facts: [...read.facts, ...risk.facts],
    };
  },
};
