import { scope } from '@remit/capability';
import type { PermissionJson } from '@remit/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow, deny } from '../test/fake-services.ts';
import {
  details,
  expectRefused,
  type HeldWorld,
  ONE,
  startHeldWorld,
  THREE,
} from '../test/held.ts';

let world: HeldWorld;
beforeAll(async () => {
  world = await startHeldWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.mint = (request) => allow(request);
  world.services.revoked = () => undefined;
});

describe('the scope of a child', () => {
  it('is refused by the decision with the part of the request and the dimension', async () => {
    world.services.mint = () =>
      deny('task_scope', {
        dimension: 'task',
        dimensions: {
          agent: 'not_evaluated',
          user: 'not_evaluated',
          task: 'deny',
          policies: 'not_evaluated',
        },
        refused: { permission: 0 },
      });
    const { token } = world.held();
    const { body, record } = await expectRefused(world, () => world.delegate(token), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
    });
    expect(body).toMatchObject({ dimension: 'task', refused: { permission: 0 } });
    expect(record.dimensions?.task).toBe('deny');
  });

  const parent: PermissionJson = {
    actions: ['orders.create'],
    resources: ['erp/orders/*'],
    args: ['amount', 'currency'],
    constraints: { amount: { min: 0, max: 5_000 }, currency: { in: ['EUR'] } },
    check: 'online',
  };
  const child: PermissionJson = { ...parent, resources: ['erp/orders/O-1'] };
  // Red when `checkChild` leaves the scope out: here a decision allows whatever it is asked.
  it.each<[string, Partial<PermissionJson>]>([
    ['another action', { actions: ['orders.create', 'orders.delete'] }],
    ['any action', { actions: ['**'] }],
    ['another resource', { resources: ['erp/payments/P-1'] }],
    ['a deeper resource', { resources: ['erp/orders/**'] }],
    ['another case', { resources: ['erp/Orders/O-1'] }],
    ['any arguments', { args: 'any' }],
    ['one more argument', { args: ['amount', 'currency', 'supplier'] }],
    ['no constraint', { constraints: {} }],
    [
      'a larger maximum',
      { constraints: { amount: { min: 0, max: 5_001 }, currency: { in: ['EUR'] } } },
    ],
    [
      'a smaller minimum',
      { constraints: { amount: { min: -1, max: 5_000 }, currency: { in: ['EUR'] } } },
    ],
    [
      'another currency',
      { constraints: { amount: { min: 0, max: 5_000 }, currency: { in: ['EUR', 'USD'] } } },
    ],
    [
      'a constraint that is optional',
      {
        constraints: { amount: { min: 0, max: 5_000, optional: true }, currency: { in: ['EUR'] } },
      },
    ],
  ])('is never wider: %s', async (_, wider) => {
    const { token } = world.held({ scope: scope([parent]) });
    const form = { authorization_details: details({ ...child, ...wider }) };
    const { body } = await expectRefused(world, () => world.delegate(token, form), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
      description: 'The request is wider than what may be handed to this agent.',
    });
    expect(body.dimension).toBe('task');
  });

  it('is never local where the parent is online', async () => {
    const { check: _, ...local } = child;
    const { token } = world.held({ scope: scope([parent]) });
    await expectRefused(
      world,
      () => world.delegate(token, { authorization_details: details(local) }),
      { error: 'invalid_authorization_details', reason: 'task_scope' },
    );
  });

  it('is never made of two parents', async () => {
    const { token } = world.held({
      scope: scope([{ ...THREE, resources: ['erp/suppliers/S-1'] }]),
    });
    const other = world.held({ scope: scope([ONE]) });
    const twice = { subject_token: [token, other.token] };
    const { status } = await world.delegate(token, twice);
    expect(status).toBe(400);
    await expectRefused(world, () => world.delegate(token), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
    });
  });

  it('gives something up', async () => {
    const { token } = world.held();
    await expectRefused(
      world,
      () => world.delegate(token, { authorization_details: details(THREE) }),
      {
        error: 'invalid_authorization_details',
        reason: 'not_narrower',
        description: 'The request gives nothing of the subject token up.',
      },
    );
  });
});
