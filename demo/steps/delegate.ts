import { judgeCall } from './judge.ts';
import { fact, type Step } from './step.ts';

export const RISK_OF_S100 = [
  { actions: ['suppliers.risk.read'], resources: ['erp/suppliers/S-100'], args: [] },
];

export const delegate: Step = {
  id: 'delegate',
  title: 'The procurement agent hands one of three actions to the risk analyst',
  scene: [
    'Before it orders for Bob, the agent wants the supplier’s risk judged by another agent. It delegates one action;',
    'the child token is bound to the risk analyst’s key, and both agents stand in it.',
  ],
  expected: 'allow',
  async run(world) {
    const analyst = world.agent('risk-analyst');
    const handover = await world.agent('procurement-agent').delegate(world.memory.order, {
      actorToken: await analyst.actorToken(),
      requested: RISK_OF_S100,
    });
    const risk = analyst.receive(handover);
    world.memory.risk = risk;
    world.narrate.token(risk);
    const judged = await judgeCall(
      world,
      () => risk.fetch(`${world.erp.url}/suppliers/S-100/risk`),
      {
        status: 200,
        decision: 'allow',
        reason: 'permitted',
        rows: { reads: 1 },
        user: 'bob',
        agents: ['procurement-agent', 'risk-analyst'],
        action: 'suppliers.risk.read',
        resource: 'erp/suppliers/S-100',
      },
    );
    const { origin_agent: origin, actor, token } = judged.line.record;
    return {
      ...judged,
      facts: [
        ...judged.facts,
        fact(
          'the record tells who began and who acts',
          [origin, actor],
          ['procurement-agent', 'risk-analyst'],
        ),
        fact('the record names the token that it descends from', token?.lineage.length, 1),
      ],
    };
  },
};
