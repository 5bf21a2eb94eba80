import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow, deny, READ } from '../test/fake-services.ts';
import { startWorld, TOOL, type World } from '../test/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.asked.length = 0;
});

describe('a launch that the decision refuses', () => {
  it('names the refused part of the request and the dimension, never bounds or policies', async () => {
    world.services.mint = () =>
      deny('user_entitlement', {
        refused: { permission: 0, path: 'amount' },
        miss: { kind: 'constraint', path: 'amount', test: 'max' },
        policies: ['guardrail-7'],
      });
    const before = (await world.rows('tasks')).length;
    const { status, headers, body } = await world.ask();
    const [kept] = await world.records(1);
    expect(status).toBe(400);
    expect(headers['cache-control']).toBe('no-store');
    expect(body).toEqual({
      error: 'invalid_authorization_details',
      error_description:
        "The permission at index 0 of the request is refused: it goes beyond what the user may do, in the argument 'amount'.",
      reason: 'user_entitlement',
      dimension: 'user',
      refused: { permission: 0, path: 'amount' },
      record_id: kept?.record.id,
    });
    expect(kept?.record).toMatchObject({
      event: 'token.refused',
      decision: 'deny',
      reason: 'user_entitlement',
      actor: 'procurement-agent',
      dimensions: { agent: 'allow', user: 'deny', task: 'allow', policies: 'not_evaluated' },
      miss: { kind: 'constraint', path: 'amount', test: 'max' },
      policies: ['guardrail-7'],
      decision_id: 'decision-2',
      audience: TOOL,
      task: { type: 'supplier-risk-summary' },
    });
    expect(kept?.disclosures['/principal']?.value).toBe('alice');
    expect((await world.rows('tasks')).length).toBe(before);
    expect(world.services.asked.map(({ method }) => method)).not.toContain('revocation.register');
  });

  it('names the slot that takes no such value', async () => {
    world.services.mint = () => deny('slot_invalid', { refused: { slot: 'supplier' } });
    const { status, body } = await world.ask();
    await world.records(1);
    expect(status).toBe(400);
    expect(body).toMatchObject({
      error_description: "The slot 'supplier' does not take this value.",
      refused: { slot: 'supplier' },
    });
  });

  it.each([
    [
      'agent_envelope',
      'agent',
      'invalid_authorization_details',
      'The request is refused: it goes beyond what the agent may ever do.',
    ],
    [
      'policy_forbid',
      'policies',
      'invalid_authorization_details',
      'The request is refused: the guardrail policies do not allow it.',
    ],
    ['scope_too_large', undefined, 'invalid_authorization_details', 'The request is refused.'],
    [
      'slot_invalid',
      'task',
      'invalid_authorization_details',
      'The request is refused: it goes beyond what the task is for.',
    ],
    ['target_unknown', undefined, 'invalid_target', 'The request is refused.'],
    ['request_malformed', undefined, 'invalid_authorization_details', 'The request is refused.'],
    [
      'user_inactive',
      'user',
      'invalid_request',
      'The request is refused: it goes beyond what the user may do.',
    ],
    [
      'agent_inactive',
      'agent',
      'unauthorized_client',
      'The request is refused: it goes beyond what the agent may ever do.',
    ],
    [
      'a reason of tomorrow',
      'task',
      'invalid_authorization_details',
      'The request is refused: it goes beyond what the task is for.',
    ],
  ] as const)('says %s as its OAuth error', async (reason, dimension, error, description) => {
    world.services.mint = () => {
      const { dimension: _, ...rest } = deny(reason);
      return dimension === undefined ? rest : { ...rest, dimension };
    };
    const { status, body } = await world.ask();
    await world.records(1);
    expect({ status, error: body.error, description: body.error_description }).toEqual({
      status: 400,
      error,
      description,
    });
  });

  it('takes an answer that allows nothing for no answer', async () => {
    world.services.mint = (request) => ({ ...allow(request), permissions: [] });
    const { status, body } = await world.ask();
    await world.records(1);
    expect({ status, error: body.error }).toEqual({
      status: 503,
      error: 'temporarily_unavailable',
    });
  });

  it('gives no token that is too long for a header', async () => {
    const list = (from: number) =>
      Array.from({ length: 60 }, (_, i) => ({
        ...READ,
        resources: [`erp/suppliers/${'s'.repeat(60)}${from + i}`],
      }));
    world.services.mint = (request) => ({ ...allow(request), permissions: list(0) });
    const { status, body } = await world.ask();
    const [kept] = await world.records(1);
    expect({ status, error: body.error, description: body.error_description }).toEqual({
      status: 400,
      error: 'invalid_authorization_details',
      description: 'The token would be too large.',
    });
    expect(kept?.record.reason).toBe('scope_too_large');
  });
});
