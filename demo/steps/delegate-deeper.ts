import { RISK_OF_S100 } from './delegate.ts';
import { judgeRefusal } from './refusal.ts';
import { fact, type Step } from './step.ts';

export const delegateDeeper: Step = {
  id: 'delegate-deeper',
  title: 'The work is passed on too far',
  scene: [
    'The task type allows two hops. The risk analyst passes its one action on to the report writer, which is the second.',
    'The report writer tries a third, to the translator.',
  ],
  expected: 'refused',
  async run(world) {
    const writer = world.agent('report-writer');
    const handover = await world.agent('risk-analyst').delegate(world.memory.risk, {
      actorToken: await writer.actorToken(),
      requested: RISK_OF_S100,
    });
    const report = writer.receive(handover);
    world.memory.report = report;
    world.narrate.token(report);
    const actorToken = await world.agent('translator').actorToken();
    const refused = await judgeRefusal(
      world,
      () => writer.delegate(report, { actorToken, requested: RISK_OF_S100 }),
      {
        asks: 'suppliers.risk.read on erp/suppliers/S-100 for the translator',
        error: 'invalid_request',
        reason: 'depth_exceeded',
        user: 'bob',
      },
    );
    const earlier = report.expiresAt.getTime() < world.memory.risk.expiresAt.getTime();
    return {
      ...refused,
      facts: [
        fact('a single action can only be handed on for less time', earlier, true),
        ...refused.facts,
      ],
    };
  },
};
