import { judgeCall } from './judge.ts';
import { fact, type Step } from './step.ts';

const READ = {
  user: 'carol',
  agents: ['procurement-agent'],
  action: 'contracts.read',
  resource: 'erp/contracts/C-7',
};

export const policyChange: Step = {
  id: 'policy-change',
  title: 'A guardrail is activated',
  scene: [
    'Dora uploads a policy version in which Legal’s contracts are frozen, and activates it.',
    'Carol’s token was minted before. From now on the ERP asks the PDP for each of its calls.',
  ],
  expected: 'deny',
  async run(world) {
    const { terms } = world.memory;
    const read = () => terms.fetch(`${world.erp.url}/contracts/C-7`);
    const before = await judgeCall(world, read, {
      ...READ,
      status: 200,
      decision: 'allow',
      reason: 'permitted',
      rows: { reads: 1 },
    });

    const version = await world.uploadPolicies('dora', 'Freeze contracts during the audit', {
      'freeze-contracts.cedar': FREEZE,
    });
    await world.admin('dora', 'pdp', `/admin/v1/policies/${version}/activate`);
    const ms = await world.until(async () => (await read()).status === 403);
    const after = await judgeCall(world, read, {
      ...READ,
      status: 403,
      decision: 'deny',
      reason: 'policy_forbid',
    });
    return {
      ...after,
      facts: [
        ...before.facts,
        fact(
          `the token minted before is refused within a second (${Math.round(ms)} ms)`,
          ms < 1_000,
          true,
        ),
        ...after.facts,
        fact(
          'the record names the guardrail',
          after.line.record.policies?.includes('freeze-contracts'),
          true,
        ),
      ],
    };
  },
};

const FREEZE = `@id("freeze-contracts")
forbid (principal, action == Action::"contracts.read", resource);
`;
