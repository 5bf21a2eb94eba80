import type { Capability } from '@remit/agent';
import type { World } from '../world.ts';
import { RISK_OF_S100 } from './delegate.ts';
import { judgeCall } from './judge.ts';
import { judgeRefusal } from './refusal.ts';
import { fact, type Step } from './step.ts';

const MAX_CALLS = 500;
const RISK = { user: 'bob', action: 'suppliers.risk.read', resource: 'erp/suppliers/S-100' };
const ALLOWED = {
  status: 200,
  decision: 'allow',
  reason: 'permitted',
  rows: { reads: 1 },
} as const;
const REVOKED = { status: 401, decision: 'deny', reason: 'task_revoked' } as const;

export const revokeTask: Step = {
  id: 'revoke-task',
  title: 'Bob’s task is revoked while two agents work at two instances of the ERP',
  scene: [
    'Dora of Security revokes the task. The tokens have minutes to live and their signatures are good.',
    'Every instance is told over the bus, and refuses the next call of the token and of all its descendants.',
  ],
  expected: 'deny',
  async run(world) {
    const { order, risk, report } = world.memory;
    const workers = [
      { holder: order, instance: 1, agents: ['procurement-agent'] },
      { holder: risk, instance: 2, agents: ['procurement-agent', 'risk-analyst'] },
    ] as const;
    const call = (holder: Capability, instance: 1 | 2) =>
      world.erp.at(instance, holder, 'GET', '/suppliers/S-100/risk');

    const at = (instance: 1 | 2) =>
      instance === 1 ? ('the first instance' as const) : ('the second instance' as const);

    const before = [];
    for (const { holder, instance, agents } of workers) {
      before.push(
        await judgeCall(world, () => call(holder, instance), {
          ...RISK,
          ...ALLOWED,
          agents: [...agents],
          at: at(instance),
        }),
      );
    }

    await world.revoke('dora', { kind: 'task', id: order.task.id, reason: 'told in the demo' });
    const acknowledged = performance.now();
    const refused = await Promise.all(
      workers.map(({ holder, instance }) =>
        untilRefused(() => call(holder, instance), acknowledged),
      ),
    );
    const ackToRefusedMs = Math.round(Math.max(...refused.map(({ ms }) => ms)) * 100) / 100;
    world.figures.ackToRefusedMs = ackToRefusedMs;

    const after = [];
    for (const { holder, instance, agents } of [
      ...workers,
      {
        holder: report,
        instance: 1,
        agents: ['procurement-agent', 'risk-analyst', 'report-writer'],
      } as const,
    ]) {
      after.push(
        await judgeCall(world, () => call(holder, instance), {
          ...RISK,
          ...REVOKED,
          agents: [...agents],
          at: at(instance),
        }),
      );
    }
    const again = await reexchange(world, order);
    const last = after.at(-1);
    return {
      actual: last?.actual ?? 'error',
      reason: last?.reason ?? 'none',
      ...(last?.because === undefined ? {} : { because: last.because }),
      facts: [
        ...before.flatMap(({ facts }) => facts),
        fact(
          `both are refused ${ackToRefusedMs} ms after the acknowledgement, at call ${refused.map(({ calls }) => calls).join(' and ')}`,
          refused.every(({ ok }) => ok),
          true,
        ),
        ...after.flatMap(({ facts }) => facts),
        ...again.facts,
      ],
    };
  },
};

/** Calls one after the other until one is refused, and says how long after the acknowledgement its answer came. */
async function untilRefused(call: () => Promise<Response>, acknowledged: number) {
  for (let calls = 1; calls <= MAX_CALLS; calls++) {
    const response = await call();
    await response.arrayBuffer();
    if (response.status === 401) return { ok: true, calls, ms: performance.now() - acknowledged };
  }
  return { ok: false, calls: MAX_CALLS, ms: performance.now() - acknowledged };
}

async function reexchange(world: World, order: Capability) {
  const actorToken = await world.agent('risk-analyst').actorToken();
  return judgeRefusal(
    world,
    () => world.agent('procurement-agent').delegate(order, { actorToken, requested: RISK_OF_S100 }),
    {
      asks: 'suppliers.risk.read on erp/suppliers/S-100 for risk-analyst',
      error: 'invalid_request',
      reason: 'task_revoked',
      user: 'bob',
    },
  );
}
