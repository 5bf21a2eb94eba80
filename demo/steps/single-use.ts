import { judgeCall } from './judge.ts';
import { fact, type Step } from './step.ts';

const payment = { user: 'alice', resource: 'erp/payments/P-1' };
const spent = { status: 403, decision: 'deny', reason: 'single_use_spent' } as const;

export const singleUse: Step = {
  id: 'single-use',
  title: 'A payment release is used twice, and once more by a child',
  scene: [
    'Alice’s agent releases one payment. Then the same token goes to a second instance of the ERP, and a child of it,',
    'delegated before, is used by the risk analyst. All of them share one use.',
  ],
  expected: 'deny',
  async run(world) {
    const agent = world.agent('procurement-agent');
    const analyst = world.agent('risk-analyst');
    const release = await agent.startTask({
      idToken: await world.signIn('alice'),
      taskType: 'release-payment',
      slots: { payment: 'P-1' },
      resource: world.erp.url,
    });
    world.narrate.token(release);
    const child = analyst.receive(
      await agent.delegate(release, {
        actorToken: await analyst.actorToken(),
        requested: [{ actions: ['payments.read'], resources: ['erp/payments/P-1'], args: [] }],
      }),
    );
    const agents = ['procurement-agent'];
    const first = await judgeCall(
      world,
      () => world.erp.at(1, release, 'POST', '/payments/P-1/release'),
      {
        ...payment,
        agents,
        status: 200,
        decision: 'allow',
        reason: 'permitted',
        rows: { released: 1 },
        action: 'payments.release',
        at: 'the first instance',
      },
    );
    const second = await judgeCall(
      world,
      () => world.erp.at(2, release, 'POST', '/payments/P-1/release'),
      {
        ...payment,
        ...spent,
        agents,
        action: 'payments.release',
        at: 'the second instance',
      },
    );
    const third = await judgeCall(world, () => world.erp.at(1, child, 'GET', '/payments/P-1'), {
      ...payment,
      ...spent,
      agents: ['procurement-agent', 'risk-analyst'],
      action: 'payments.read',
      at: 'the first instance',
    });
    return {
      actual: third.actual,
      reason: third.reason,
      ...(third.because === undefined ? {} : { because: third.because }),
      facts: [
        ...first.facts,
        ...second.facts,
        ...third.facts,
        fact(
          'allow, deny, deny',
          [first.actual, second.actual, third.actual],
          ['allow', 'deny', 'deny'],
        ),
      ],
    };
  },
};
