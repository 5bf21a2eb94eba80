import { scope } from '@remit/capability';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow } from '../test/fake-services.ts';
import { expectRefused, type HeldWorld, startHeldWorld, THREE } from '../test/held.ts';
import { agent } from '../test/registry-bodies.ts';

let world: HeldWorld;
beforeAll(async () => {
  world = await startHeldWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.mint = (request) => allow(request);
  world.services.revoked = () => undefined;
});

const REFUSED = 'invalid_request';

describe('the next actor', () => {
  it('may not be in the chain already, the holder itself included', async () => {
    const own = (claims: object) =>
      world.clientKey.sign(
        { typ: 'remit-actor+jwt' },
        {
          ...claims,
          iss: 'procurement-agent',
          sub: 'procurement-agent',
          aud: 'https://issuer.test/t/acme',
          jti: crypto.randomUUID(),
          iat: world.clock.nowSeconds(),
          exp: world.clock.nowSeconds() + 60,
        },
      );
    const { token } = world.held();
    const actor_token = own({ cnf: { jkt: world.analyst.proof.kid } });
    await expectRefused(world, () => world.delegate(token, { actor_token }), {
      error: REFUSED,
      reason: 'actor_repeated',
      description: 'The agent acts in the chain already.',
    });
    const second = world.held({
      actors: ['risk-analyst', 'procurement-agent'],
      lineage: ['a-1'],
      depth: { used: 1, max: 2 },
    });
    const { record } = await expectRefused(world, () => world.delegate(second.token), {
      error: REFUSED,
      reason: 'actor_repeated',
    });
    expect(record).toMatchObject({
      origin_agent: 'risk-analyst',
      act_chain: ['risk-analyst', 'procurement-agent'],
      token: { jti: second.capability.id, lineage: ['a-1'] },
      detail: { next_actor: 'risk-analyst' },
    });
  });

  it('is one more hop, of which there are as many as the first token says', async () => {
    const spent = [
      world.held({ depth: { used: 0, max: 0 } }),
      world.held({ lineage: ['a', 'b'], depth: { used: 2, max: 2 } }),
    ];
    for (const { token } of spent) {
      await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'depth_exceeded',
        description: 'The subject token cannot be handed on any further.',
      });
      expect(world.services.asked.map(({ method }) => method)).not.toContain('revocation.check');
    }
  });

  it('is one that may_act names, with the key that it names', async () => {
    const entry = { sub: 'risk-analyst', jkt: world.analyst.proof.kid, scope: scope([THREE]) };
    const lists = [[], [{ ...entry, sub: 'origin-agent' }], [{ ...entry, jkt: 'j'.repeat(43) }]];
    for (const mayAct of lists) {
      const { token } = world.held({ mayAct });
      await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'actor_not_named',
      });
    }
    const less = { ...entry, scope: scope([{ ...THREE, actions: ['suppliers.read'] }]) };
    const { token } = world.held({ mayAct: [less] });
    await expectRefused(world, () => world.delegate(token), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
    });
  });

  it('brings a key of its own, not that of the caller', async () => {
    const { token } = world.held();
    const actor_token = world.actorToken({ cnf: { jkt: world.proofKey.kid } });
    await expectRefused(world, () => world.delegate(token, { actor_token }), {
      error: REFUSED,
      reason: 'actor_token_invalid',
      description: 'actor_token names the key of the caller.',
    });
  });

  it('says so once per token, for whichever parent', async () => {
    const actor_token = world.actorToken();
    expect((await world.delegate(world.held().token, { actor_token })).status).toBe(200);
    await world.records(1);
    const other = world.held({ subject: 'bob' });
    await expectRefused(world, () => world.delegate(other.token, { actor_token }), {
      error: REFUSED,
      reason: 'actor_token_replayed',
      description: 'actor_token was used before.',
    });
  });

  it('is active, as all agents of the chain are', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    for (const id of ['risk-analyst', 'origin-agent']) {
      const before = agents?.get(id);
      if (!before) throw new Error(`${id} is not there`);
      agents?.set(id, { ...before, status: 'inactive' });
      const { token } = world.held({
        actors: ['origin-agent', 'procurement-agent'],
        lineage: ['a-1'],
        depth: { used: 1, max: 2 },
      });
      const { body } = await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'agent_inactive',
      });
      expect(body.dimension).toBe('agent');
      agents?.set(id, before);
    }
  });

  // Red when the second look-up is left out: a key that was taken away during the request still counts.
  it('still has its key when the decision is asked for', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    const before = agents?.get('risk-analyst');
    world.services.during = (method) => {
      if (method !== 'revocation.check') return;
      const body = agent('risk-analyst', world.clientKey);
      agents?.set('risk-analyst', { body, status: 'active' });
    };
    try {
      const { token } = world.held();
      await expectRefused(world, () => world.delegate(token), {
        error: REFUSED,
        reason: 'actor_token_invalid',
        description: 'actor_token does not verify.',
      });
    } finally {
      world.services.during = () => {};
      if (before) agents?.set('risk-analyst', before);
    }
  });
});
