import type { LedgerLine } from '../world.ts';
import { fact, type Step } from './step.ts';

export const oneLine: Step = {
  id: 'one-line',
  title: 'What did the procurement agent do, and for whom?',
  scene: [
    'Erin of Internal Audit asks the ledger. One record answers for each action, and the tokens of Bob’s task form a tree.',
    'Then somebody with the database’s own password changes a record behind the ledger’s back.',
  ],
  expected: 'found',
  async run(world) {
    const { summary, order } = world.memory;
    const lines = await world.ledger.lines({
      agent: 'procurement-agent',
      user: 'alice',
      task: summary.task.id,
    });
    const decisions = lines.filter(({ event }) => event === 'decision');
    const told = (action: string, decision: string) =>
      decisions.filter(
        (line) => line.record.operation?.action === action && line.decision === decision,
      ).length;
    for (const line of decisions.slice(0, 3)) world.narrate.line(line);

    const tree = delegationTree(await world.ledger.lines({ task: order.task.id }));
    world.narrate.text('tree', tree);

    const changed = decisions[0]?.seq ?? 0;
    const clean = await world.ledger.verify();
    const altered = await world.tamper(changed);
    const found = await world.ledger.verify();
    await altered.restore();
    const again = await world.ledger.verify();
    world.figures.records = again.size;
    world.figures.verified = clean.ok && again.ok;

    const facts = [
      fact(
        'one record tells of the token',
        lines.filter(({ event }) => event === 'token.issued').length,
        1,
      ),
      fact('one record tells of the risk read', told('suppliers.risk.read', 'allow'), 1),
      fact('one record tells of the refused contract', told('contracts.read', 'deny'), 1),
      fact(
        'every record names Alice and the agent',
        lines.filter(
          ({ user, agents }) => user !== 'alice' || agents.join() !== 'procurement-agent',
        ).length,
        0,
      ),
      fact('Bob’s task is a tree of three tokens', tree, [
        'bob → procurement-agent',
        '  bob → procurement-agent → risk-analyst',
        '    bob → procurement-agent → risk-analyst → report-writer',
      ]),
      fact(`the ledger verifies: ${clean.size} records`, clean.ok, true),
      fact(
        `the changed row is found: record ${changed}`,
        { ok: found.ok, seq: found.fault?.seq },
        { ok: false, seq: changed },
      ),
      fact('put back, the ledger verifies again', again.ok, true),
    ];
    return {
      actual: found.ok ? 'error' : 'found',
      reason: found.fault?.kind ?? 'nothing was found',
      because: `record ${found.fault?.seq ?? '?'} is not the one that the tree was built from.`,
      facts,
    };
  },
};

/** The tokens of a task from its records alone: each under the one it descends from. */
function delegationTree(lines: LedgerLine[]): string[] {
  const tokens = lines.filter(
    ({ event }) => event === 'token.issued' || event === 'token.delegated',
  );
  const below = (parent: string | undefined, indent: string): string[] =>
    tokens
      .filter(({ record }) => record.token?.lineage.at(-1) === parent)
      .flatMap((line) => [
        indent + [line.user, ...line.agents].join(' → '),
        ...below(line.record.token?.jti, `${indent}  `),
      ]);
  return below(undefined, '');
}
