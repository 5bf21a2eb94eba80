import { judgeCall } from './judge.ts';
import { fact, type Step } from './step.ts';

/** The PEP's bound on the age of a beat, and room for the call that finds out. */
const BOUND_MS = 3_000;
const ROOM_MS = 1_000;

export const blind: Step = {
  id: 'blind',
  title: 'One instance of the ERP is cut off from the bus',
  scene: [
    'A revocation could not reach it. It stops allowing within three seconds, by itself,',
    'while the other instance works on. When the line is back it allows again, without a restart.',
  ],
  expected: 'deny',
  async run(world) {
    const summary = await world.agent('procurement-agent').startTask({
      idToken: await world.signIn('alice'),
      taskType: 'supplier-risk-summary',
      slots: { supplier: 'S-100' },
      resource: world.erp.url,
    });
    const read = (instance: 1 | 2) => world.erp.at(instance, summary, 'GET', '/suppliers/S-100');
    const status = async (instance: 1 | 2) => {
      const response = await read(instance);
      const body = response.ok ? undefined : ((await response.json()) as { code: string });
      return body?.code ?? 'allowed';
    };
    const before = await status(2);
    world.line.cut();
    const blindAfterMs = await world.until(async () => (await status(2)) === 'status_stale');
    const meanwhile = await status(1);
    const rows = await world.erp.counts();
    const refused = await status(2);
    const unchanged = await world.erp.counts();
    world.line.heal();
    const seeingAfterMs = await world.until(async () => (await status(2)) === 'allowed');
    const after = await judgeCall(world, () => read(2), {
      status: 200,
      decision: 'allow',
      reason: 'permitted',
      rows: { reads: 1 },
      user: 'alice',
      agents: ['procurement-agent'],
      action: 'suppliers.read',
      resource: 'erp/suppliers/S-100',
    });
    const kept = await world.ledger.lines({ task: summary.task.id, reason: 'status_stale' });
    return {
      actual: refused === 'status_stale' ? 'deny' : 'error',
      reason: refused,
      facts: [
        fact('both instances allow before', before, 'allowed'),
        fact(
          `cut off, it denies after ${Math.round(blindAfterMs)} ms, within its bound`,
          blindAfterMs < BOUND_MS + ROOM_MS,
          true,
        ),
        fact('the other instance allows meanwhile', meanwhile, 'allowed'),
        fact('nothing changes in the ERP', unchanged, rows),
        fact(
          `healed, it allows again by itself after ${Math.round(seeingAfterMs)} ms`,
          seeingAfterMs < 10_000,
          true,
        ),
        ...after.facts,
        fact('the denies that it could not send are in the ledger now', kept.length >= 1, true),
      ],
    };
  },
};
