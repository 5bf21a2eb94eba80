import { type BudgetDeclaration, type RegisterRequest, sha256 } from '@remit/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow } from '../test/fake-services.ts';
import { expectRefused, type HeldWorld, startHeldWorld } from '../test/held.ts';

let world: HeldWorld;
beforeAll(async () => {
  world = await startHeldWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.revoked = () => undefined;
  world.services.asked.length = 0;
});

const CALLS: BudgetDeclaration = { name: 'calls', per: 'task', unit: 'calls', limit: 20 };
const EUR: BudgetDeclaration = {
  name: 'orders',
  per: 'user',
  unit: 'EUR',
  path: 'amount',
  limit: 9_999.5,
  every_seconds: 86_400,
};
const declare = (...budgets: BudgetDeclaration[]) => {
  world.services.mint = (request) => allow(request, { budgets });
};
const registered = (): RegisterRequest =>
  world.services.asked.findLast(({ method }) => method === 'revocation.register')
    ?.body as RegisterRequest;
const idOf = (per: string, spender: string, name: string) =>
  sha256(JSON.stringify(['budget', per, spender, name]));

async function started() {
  const { body } = await world.ask();
  await world.records(1);
  const token = String(body.access_token);
  return { token, first: world.open(token) };
}

describe('a task type with budgets', () => {
  // Goes red when a limit stands in the token, where a holder and every tool could read it.
  it('gives its tokens their ids, and the ledger alone their limits, before the token is signed', async () => {
    declare(CALLS, EUR);
    const { first } = await started();
    const [task, user] = [idOf('task', first.task.id, 'calls'), idOf('user', 'alice', 'orders')];
    expect(first.budgets).toEqual([
      { id: task, unit: 'calls' },
      { id: user, unit: 'EUR', path: 'amount' },
    ]);
    expect(registered().jti).toBe(first.id);
    expect(registered().budgets).toEqual([
      { id: task, unit: 'calls', limit: 200_000, revision: 3, until: first.issuedAt + 3_600 },
      { id: user, unit: 'EUR', limit: 99_995_000, every_seconds: 86_400, revision: 3 },
    ]);
  });

  it('gives two tasks one budget per user or agent, and each its own per task or token', async () => {
    declare(
      CALLS,
      EUR,
      { ...CALLS, name: 'agents', per: 'agent' },
      { ...CALLS, name: 'tokens', per: 'token' },
    );
    const [one, two] = [(await started()).first, (await started()).first];
    const shared = one.budgets?.filter(({ id }) => two.budgets?.some((other) => other.id === id));
    expect(shared?.map(({ id }) => id)).toEqual([
      idOf('user', 'alice', 'orders'),
      idOf('agent', 'procurement-agent', 'agents'),
    ]);
  });

  it('leaves a token without any where it declares none', async () => {
    for (const budgets of [[], undefined]) {
      world.services.mint = (request) => allow(request, budgets ? { budgets } : {});
      const { first } = await started();
      expect(first.budgets).toBeUndefined();
      expect(registered()).not.toHaveProperty('budgets');
    }
  });
});

describe('the budgets of a token', () => {
  it('are those of the next first token of the task, unchanged', async () => {
    declare(CALLS, EUR);
    const { token, first } = await started();
    const renewed = await world.renew(token);
    await world.records(1);
    expect(renewed.status).toBe(200);
    expect(world.open(renewed.body.access_token).budgets).toEqual(first.budgets);
  });

  it('take the limit that the task type says by now, and outlast one that it drops', async () => {
    declare(CALLS, EUR);
    const { token, first } = await started();
    world.services.mint = (request) => ({
      ...allow(request, { budgets: [{ ...CALLS, limit: 5 }] }),
      registry_revision: 4,
    });
    const renewed = await world.renew(token);
    await world.records(1);
    expect(registered().budgets).toMatchObject([{ limit: 50_000, revision: 4 }]);
    expect(world.open(renewed.body.access_token).budgets).toEqual(first.budgets);
  });

  // Goes red when a renewal goes past what the task type counts by now.
  it('cannot be added to a task that runs: it is not renewed', async () => {
    for (const more of [EUR, { ...CALLS, name: 'others' }]) {
      declare(CALLS);
      const { token } = await started();
      declare(CALLS, more);
      await expectRefused(world, () => world.renew(token), {
        error: 'invalid_request',
        reason: 'not_renewable',
        description: 'The task type has other budgets by now; start the task again.',
      });
    }
  });
});
