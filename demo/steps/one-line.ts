import { fact, type Step } from './step.ts';

export const oneLine: Step = {
  id: 'one-line',
  title: 'What did the procurement agent do, and for whom?',
  scene: [
    'Erin of Internal Audit asks the ledger. One record answers for each action.',
    'Then somebody with the database’s own password changes one of them behind the ledger’s back.',
  ],
  expected: 'found',
  async run(world) {
    const { summary } = world.memory;
    const lines = await world.ledger.lines({
      agent: 'procurement-agent',
      user: 'alice',
      task: summary.task.id,
    });
    const decisions = lines.filter(({ record }) => record.event === 'decision');
    const said = (action: string, decision: string) =>
      decisions.filter(
        ({ record }) => record.operation?.action === action && record.decision === decision,
      ).length;
    const issued = lines.filter(({ record }) => record.event === 'token.issued');
    for (const line of decisions.slice(-4)) world.narrate.line(line);

    const clean = await world.ledger.verify();
    const altered = await world.tamper.rewrite(decisions[0]?.seq ?? 0);
    const found = await world.ledger.verify();
    await altered.restore();
    const again = await world.ledger.verify();
    world.figures.records = again.records;
    world.figures.verified = clean.ok && again.ok;

    const facts = [
      fact('one token was issued for the task', issued.length, 1),
      fact('one record tells of the risk read', said('suppliers.risk.read', 'allow'), 1),
      fact('one record tells of the refused contract', said('contracts.read', 'deny'), 1),
      fact(
        'every line names Alice and the agent',
        lines.every(({ user, record }) => user === 'alice' && record.actor === 'procurement-agent'),
        true,
      ),
      fact(`the ledger verifies: ${clean.records} records`, clean.ok, true),
      fact(
        `the changed row is found: record ${decisions[0]?.seq}`,
        { ok: found.ok, firstBad: found.firstBad },
        { ok: false, firstBad: decisions[0]?.seq },
      ),
      fact('put back, the ledger verifies again', again.ok, true),
    ];
    return {
      actual: found.ok ? 'error' : 'found',
      reason: found.reason ?? 'nothing was found',
      facts,
    };
  },
};
