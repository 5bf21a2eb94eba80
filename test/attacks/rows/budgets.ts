import type { Capability } from '@remit/agent';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Stage } from '../stage.ts';

/** Budgets as the registry declares them, spent at two instances of the ERP. */
export function budgets(at: () => Stage): void {
  let stage: Stage;
  beforeAll(() => {
    stage = at();
  });

  const start = async () =>
    stage.world.agent('procurement-agent').startTask({
      idToken: await stage.world.signIn('bob'),
      taskType: 'order-supplies',
      slots: {},
      resource: stage.world.erp.url,
    });
  const order = async (n: 1 | 2, task: Capability, amount: number) => {
    const { urls, erp_audience: audience } = stage.demo.dev;
    const answer = await fetch(`${urls[n === 1 ? 'erp' : 'erp-2']}/orders`, {
      method: 'POST',
      headers: {
        ...task.headers('POST', `${audience}/orders`),
        'content-type': 'application/json',
      },
      body: JSON.stringify({ supplier: 'S-100', item: 'paper', amount, currency: 'EUR' }),
    });
    const { code = '' } = (await answer.json()) as { code?: string };
    return `${answer.status} ${code}`.trim();
  };

  describe('a budget of a day', () => {
    // Bob may order for 1,000 EUR a day. Goes red when a PEP compares and adds in two steps.
    test('row 17: is spent once, however many orders come at once from several tasks at two instances', async () => {
      const { orders: before } = await stage.world.erp.counts();
      const tasks = await Promise.all([start(), start()]);
      const answers = await Promise.all(
        Array.from({ length: 24 }, (_, n) =>
          order(n % 2 === 0 ? 1 : 2, tasks[n % 4 < 2 ? 0 : 1], 99.99),
        ),
      );
      expect(answers.filter((answer) => answer.startsWith('201'))).toHaveLength(10);
      expect(answers.filter((answer) => answer === '403 budget_exceeded')).toHaveLength(14);
      const { orders: after } = await stage.world.erp.counts();
      expect(after - before).toBe(10);
      expect(await order(1, await start(), 0.1)).toMatch(/^201/);
      expect(await order(2, await start(), 0.01)).toBe('403 budget_exceeded');
    });
  });
}
