import { judgeCall } from './judge.ts';
import { fact, type Step } from './step.ts';

const MAX_CALLS = 500;

export const revokeTask: Step = {
  id: 'revoke-task',
  title: 'The task is revoked while the agent works',
  scene: [
    'Dora of Security revokes the task. The token has minutes to live and its signature is good.',
    'The ERP is told over the bus, and refuses the very next call.',
  ],
  expected: 'deny',
  async run(world) {
    const { summary } = world.memory;
    const read = () => summary.fetch(`${world.erp.url}/suppliers/S-100`);
    const who = {
      user: 'alice',
      agents: ['procurement-agent'],
      action: 'suppliers.read',
      resource: 'erp/suppliers/S-100',
    };
    const still = await judgeCall(world, read, {
      ...who,
      status: 200,
      decision: 'allow',
      reason: 'permitted',
      rows: { reads: 1 },
    });

    await world.revoke('dora', { kind: 'task', id: summary.task.id, reason: 'told in the demo' });
    const acknowledged = performance.now();
    let refused = false;
    let calls = 0;
    while (!refused && calls < MAX_CALLS) {
      calls += 1;
      const response = await read();
      await response.arrayBuffer();
      refused = response.status === 401;
    }
    const ackToRefusedMs = performance.now() - acknowledged;
    world.figures.ackToRefusedMs = Math.round(ackToRefusedMs * 100) / 100;

    const after = await judgeCall(world, read, {
      ...who,
      status: 401,
      decision: 'deny',
      reason: 'task_revoked',
    });
    return {
      ...after,
      facts: [
        ...still.facts,
        fact(
          `call ${calls} after the acknowledgement is refused, ${world.figures.ackToRefusedMs} ms later`,
          refused,
          true,
        ),
        ...after.facts,
      ],
    };
  },
};
