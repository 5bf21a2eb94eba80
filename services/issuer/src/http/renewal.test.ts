import { scope } from '@remit/capability';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow, READ } from '../test/fake-services.ts';
import {
  details,
  expectRefused,
  type HeldWorld,
  ONE,
  startHeldWorld,
  THREE,
} from '../test/held.ts';
import { agent } from '../test/registry-bodies.ts';
import { TOOL } from '../test/world.ts';

let world: HeldWorld;
beforeAll(async () => {
  world = await startHeldWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.mint = (request) => allow(request);
  world.services.revoked = () => undefined;
  world.services.asked.length = 0;
});

const OTHER_TOOL = 'https://crm.test';
const REFUSED = 'invalid_request';

/** A task that was started here, and its first token. */
async function started(terms: Parameters<typeof allow>[1] = {}) {
  world.services.mint = (request) => allow(request, terms);
  const { body } = await world.ask();
  await world.records(1);
  world.services.mint = (request) => allow(request);
  world.services.asked.length = 0;
  const token = String(body.access_token);
  return { token, first: world.open(token), task: body.task };
}

describe('a renewal', () => {
  it('gives another first token of the task, decided anew against its ceiling', async () => {
    const { token, first, task } = await started({ single_use: true });
    world.services.mint = (request) => allow(request, { single_use: true });
    const { status, body } = await world.renew(token, { resource: OTHER_TOOL });
    const [kept] = await world.records(1);
    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: 'DPoP', expires_in: 300, task });
    const next = world.open(body.access_token);
    expect(next).toEqual({
      ...first,
      id: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      audience: OTHER_TOOL,
      status: { idx: expect.any(Number), uri: first.status.uri },
    });
    expect(next.id).not.toBe(first.id);
    expect(next.singleUse).toBe(first.singleUse);
    expect(world.services.asked.find(({ method }) => method === 'pdp.mint')?.body).toEqual({
      actors: ['procurement-agent'],
      user: 'alice',
      client: 'procurement-agent',
      audience: OTHER_TOOL,
      task: { id: first.task.id, type: first.task.type, slots: {}, ceiling: [READ] },
      narrow: false,
    });
    expect(kept?.record).toMatchObject({
      event: 'token.issued',
      act_chain: ['procurement-agent'],
      audience: OTHER_TOOL,
      token: { jti: next.id, lineage: [] },
      detail: { grant: 'renewal', token_type: 'DPoP', asked: 'ceiling', renewed: first.id },
    });
    expect(kept?.disclosures['/principal']?.value).toBe('alice');
  });

  it('checks the token and its task before it asks, and starts no task', async () => {
    const { token, first } = await started();
    const tasks = await world.rows('tasks');
    await world.renew(token);
    await world.records(1);
    const steps = world.services.asked
      .map(({ method }) => method)
      .filter((method) => method !== 'registry.body');
    expect(steps).toEqual([
      'registry.lookup',
      'revocation.check',
      'registry.lookup',
      'pdp.mint',
      'revocation.register',
    ]);
    const check = world.services.asked.find(({ method }) => method === 'revocation.check');
    expect(check?.body).toMatchObject({ tokens: [{ jti: first.id, task: first.task.id }] });
    expect(await world.rows('tasks')).toEqual(tasks);
  });

  it('ends later than the token that it is for, and never after its task', async () => {
    const { token, first } = await started({ until_seconds: 400 });
    world.clock.advance(200_000);
    const { body } = await world.renew(token);
    await world.records(1);
    const next = world.open(body.access_token);
    expect(next.expiresAt).toBe(first.issuedAt + 400);
    expect(next.expiresAt).toBeGreaterThan(first.expiresAt);
    world.clock.advance(199_000);
    const last = await world.renew(String(body.access_token));
    await world.records(1);
    expect(world.open(last.body.access_token).expiresAt).toBe(first.issuedAt + 400);
  });

  it('asks for part of the ceiling where a list is given', async () => {
    const { token } = await started();
    const { body } = await world.renew(token, { authorization_details: details(ONE) });
    const [kept] = await world.records(1);
    expect(world.open(body.access_token).scope).toEqual(scope([ONE]));
    expect(kept?.record.detail).toMatchObject({ asked: 'list' });
  });

  it('is no deeper and hands on no more than the first token and the task type of now', async () => {
    const { token } = await started({ depth_max: 2 });
    world.services.mint = (request) => allow(request, { depth_max: 1, links: false });
    const less = await world.renew(token);
    world.services.mint = (request) => allow(request, { depth_max: 5 });
    const same = await world.renew(token);
    await world.records(2);
    expect(world.open(less.body.access_token)).toMatchObject({
      depth: { used: 0, max: 1 },
      links: false,
    });
    expect(world.open(same.body.access_token).depth).toEqual({ used: 0, max: 2 });
  });
});

describe('a renewal is refused', () => {
  // Red when `requireRenewable` looks at less: an exchange would drop actors from the record.
  it('for a delegated token, and for any with a second actor or an ancestor', async () => {
    const { first } = await started();
    const chain = { task: first.task, actors: ['risk-analyst', 'procurement-agent'] };
    const hops = { lineage: ['a-1'], depth: { used: 1, max: 2 } };
    for (const changes of [
      { ...chain, ...hops },
      { task: first.task, ...hops },
    ]) {
      const { token } = world.held(changes);
      await expectRefused(world, () => world.renew(token), {
        error: REFUSED,
        reason: 'not_renewable',
        description: 'A delegated token is not renewed; its giver delegates again.',
      });
      expect(world.services.asked.map(({ method }) => method)).not.toContain('pdp.mint');
    }
  });

  it('for a token that is not of a task that was started here, with its user, agent and key', async () => {
    const { first } = await started();
    const { task } = first;
    const rows: Parameters<HeldWorld['held']>[] = [
      [{}],
      [{ task: { ...task, type: 'other' } }],
      [{ task, subject: 'bob' }],
      [{ task, links: false }, { bearer: true }],
    ];
    for (const row of rows) {
      const { token, capability } = world.held(...row);
      const proof = capability.confirmation ? world.proofFor(token) : null;
      await expectRefused(world, () => world.renew(token, {}, { proof }), {
        error: REFUSED,
        reason: 'not_renewable',
      });
    }
  });

  it('for anybody but the holder, and without the key', async () => {
    const { token } = await started();
    const foreign = world.proofFor(token, { signer: world.analyst.proof });
    await expectRefused(world, () => world.renew(token, {}, { proof: foreign }), {
      error: 'invalid_dpop_proof',
      reason: 'proof_key',
    });
    await expectRefused(world, () => world.renew(token, {}, { proof: null }), {
      error: REFUSED,
      reason: 'proof_required',
    });
    await expectRefused(world, () => world.renew(token, {}, { proof: world.proof() }), {
      error: 'invalid_dpop_proof',
      reason: 'proof_binding',
    });
    const other = world.held({ actors: ['risk-analyst'] });
    await expectRefused(world, () => world.renew(other.token), {
      error: REFUSED,
      reason: 'holder_mismatch',
    });
  });

  it('when the task has ended, or is revoked', async () => {
    const { token, first } = await started({ until_seconds: 100, token_seconds: 300 });
    const longer = world.held({ task: first.task, expiresAt: first.issuedAt + 500 });
    world.clock.advance(100_000);
    await expectRefused(world, () => world.renew(longer.token), {
      error: REFUSED,
      reason: 'task_over',
      description: 'The task has ended.',
    });
    await expectRefused(world, () => world.renew(token), {
      error: REFUSED,
      reason: 'token_expired',
    });
    const running = await started();
    world.services.revoked = ({ tokens }) => {
      const id = tokens[0]?.task;
      return id === undefined ? undefined : { kind: 'task', id, ancestor: false };
    };
    await expectRefused(world, () => world.renew(running.token), {
      error: REFUSED,
      reason: 'task_revoked',
    });
  });

  it('when the task type became single use: the tokens that are out would not share the use', async () => {
    const { token } = await started();
    world.services.mint = (request) => allow(request, { single_use: true });
    await expectRefused(world, () => world.renew(token), {
      error: REFUSED,
      reason: 'not_renewable',
      description: 'The task type is single use by now; start the task again.',
    });
  });

  it('of a token without a key when the registry allows the agent no such tokens any more', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    const before = agents?.get('procurement-agent');
    const body = agent('procurement-agent', world.clientKey, { bearer: true });
    agents?.set('procurement-agent', { body, status: 'active' });
    const { body: launched } = await world.ask({}, { proof: null });
    const token = String(launched.access_token);
    const renewed = await world.renew(token, {}, { proof: null });
    await world.records(2);
    expect(renewed.body.token_type).toBe('Bearer');
    if (before) agents?.set('procurement-agent', before);
    await expectRefused(world, () => world.renew(token, {}, { proof: null }), {
      error: REFUSED,
      reason: 'proof_required',
    });
  });

  it('with an actor token type alone, a task, an empty list, or two targets', async () => {
    const { token } = await started();
    const rows = [
      [{ actor_token_type: 'urn:ietf:params:oauth:token-type:jwt' }, REFUSED],
      [
        { authorization_details: JSON.stringify([{ type: 'urn:remit:task:1', task_type: 'x' }]) },
        'invalid_authorization_details',
      ],
      [{ authorization_details: '[]' }, 'invalid_authorization_details'],
    ] as const;
    for (const [form, error] of rows) {
      await expectRefused(world, () => world.renew(token, form), {
        error,
        reason: 'request_malformed',
      });
    }
    await expectRefused(world, () => world.renew(token, { resource: [TOOL, OTHER_TOOL] }), {
      error: 'invalid_target',
      reason: 'target_unknown',
    });
  });

  it('beyond the ceiling, in the words of the decision', async () => {
    const { token } = await started();
    world.services.mint = (request) => ({
      ...allow(request),
      decision: 'deny',
      reason: 'task_scope',
      dimension: 'task',
      permissions: [],
    });
    const { body } = await expectRefused(
      world,
      () => world.renew(token, { authorization_details: details(THREE) }),
      { error: 'invalid_authorization_details', reason: 'task_scope' },
    );
    expect(body.dimension).toBe('task');
  });
});
