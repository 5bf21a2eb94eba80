import { type Capability, scope } from '@remit/capability';
import type { MintRequest } from '@remit/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow } from '../test/fake-services.ts';
import { details, type HeldWorld, ONE, startHeldWorld, THREE } from '../test/held.ts';
import { agent } from '../test/registry-bodies.ts';
import { TOOL } from '../test/world.ts';

let world: HeldWorld;
beforeAll(async () => {
  world = await startHeldWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.mint = (request) => allow(request);
  world.services.asked.length = 0;
});

const bodyOf = (method: string) =>
  world.services.asked.filter((one) => one.method === method).at(-1)?.body;

/** A delegation that succeeds: the child's claims and the record. */
async function handedOn(changes: Partial<Capability> = {}, form = {}) {
  const { token, capability } = world.held(changes);
  const answer = await world.delegate(token, form);
  const [kept] = await world.records(1);
  expect(answer.body).not.toHaveProperty('error');
  return { parent: capability, child: world.open(answer.body.access_token), kept, ...answer };
}

describe('a delegation', () => {
  it('gives the named agent part of the token, bound to the key that it named', async () => {
    const { parent, child, status, body } = await handedOn({ singleUse: 'use-1' });
    const now = world.clock.nowSeconds();
    expect(status).toBe(200);
    expect(body).toEqual({
      access_token: expect.any(String),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'DPoP',
      expires_in: 199,
      authorization_details: [{ type: 'urn:remit:capability:1', ...ONE }],
      task: { ...taskOf(parent), until: now + 199 },
    });
    expect(child).toEqual({
      ...parent,
      id: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      actors: ['procurement-agent', 'risk-analyst'],
      scope: scope([ONE]),
      lineage: [parent.id],
      depth: { used: 1, max: 2 },
      issuedAt: now,
      notBefore: now,
      expiresAt: now + 199,
      rev: { epoch: 'epoch-01', seq: 7 },
      status: { idx: expect.any(Number), uri: expect.stringContaining('/status/') },
      policy: { version: 'sha256:policies', decision: 'decision-1' },
      confirmation: { jkt: world.analyst.proof.kid },
      singleUse: 'use-1',
    });
    expect(child.id).not.toBe(parent.id);
  });

  it('nests the actors with the current one outermost', async () => {
    const { body } = await handedOn();
    const [, payload = ''] = String(body.access_token).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { act: unknown };
    expect(claims.act).toEqual({ sub: 'risk-analyst', act: { sub: 'procurement-agent' } });
  });

  // Red when the check comes after the decision, or asks about less than the token and all its keys.
  it('checks the token, its lineage and every key before it asks for a decision', async () => {
    const { parent, child } = await handedOn({
      lineage: ['ancestor-1'],
      actors: ['origin-agent', 'procurement-agent'],
      depth: { used: 1, max: 2 },
    });
    const steps = world.services.asked
      .map(({ method }) => method)
      .filter((method) => method !== 'registry.body');
    expect(steps).toEqual([
      'registry.lookup',
      'registry.lookup',
      'revocation.check',
      'registry.lookup',
      'pdp.mint',
      'revocation.register',
    ]);
    const kid = world.infra.keys.tokenPublicKeys('acme')[0]?.kid;
    expect(bodyOf('revocation.check')).toEqual({
      tokens: [
        {
          jti: parent.id,
          lineage: ['ancestor-1'],
          rev: parent.rev,
          task: parent.task.id,
          actors: ['origin-agent', 'procurement-agent'],
          user: 'alice',
          client: 'procurement-agent',
          keys: [world.proofKey.kid, kid],
        },
      ],
      tasks: [],
      keys: [world.clientKey.kid, kid, world.analyst.client.kid, world.analyst.proof.kid],
    });
    expect(bodyOf('pdp.mint')).toEqual({
      actors: ['origin-agent', 'procurement-agent', 'risk-analyst'],
      user: 'alice',
      client: 'procurement-agent',
      audience: TOOL,
      task: {
        id: parent.task.id,
        type: parent.task.type,
        slots: {},
        ceiling: scope([THREE]).permissions,
      },
      requested: [ONE],
      narrow: false,
    });
    expect(bodyOf('revocation.register')).toEqual({
      jti: child.id,
      lineage: ['ancestor-1', parent.id],
      rev: { epoch: 'epoch-01', seq: 7 },
      task: parent.task.id,
      actors: ['origin-agent', 'procurement-agent', 'risk-analyst'],
      user: 'alice',
      client: 'procurement-agent',
      keys: [world.analyst.proof.kid, kid],
      exp: child.expiresAt,
    });
  });

  it('leaves a record with both agents, the lineage and what was given up', async () => {
    const { parent, child, kept } = await handedOn();
    expect(kept?.record).toMatchObject({
      event: 'token.delegated',
      decision: 'allow',
      reason: 'permitted',
      actor: 'risk-analyst',
      act_chain: ['procurement-agent', 'risk-analyst'],
      origin_agent: 'procurement-agent',
      client: 'procurement-agent',
      task: { id: parent.task.id, type: parent.task.type },
      audience: TOOL,
      scope: [ONE],
      token: { jti: child.id, lineage: [parent.id], jkt: world.analyst.proof.kid },
      detail: {
        grant: 'delegation',
        token_type: 'DPoP',
        asked: 'list',
        given_up: 'suppliers.read erp/suppliers/S-100',
      },
    });
    expect(kept?.disclosures['/principal']?.value).toBe('alice');
  });

  it('keeps no token, proof or actor token anywhere', async () => {
    const { token } = world.held();
    const actorToken = world.actorToken();
    const proof = world.proofFor(token);
    await world.delegate(token, { actor_token: actorToken }, { proof });
    const records = await world.records(1);
    const everything = JSON.stringify([
      await world.rows('actor_tokens'),
      await world.rows('dpop_proofs'),
      world.services.asked,
      world.logLines,
      records,
    ]);
    for (const secret of [token, actorToken, proof]) {
      const [, payload = '-', signature = '-'] = secret.split('.');
      expect(everything).not.toContain(payload);
      expect(everything).not.toContain(signature);
    }
  });

  it('takes the audience of the parent as resource', async () => {
    expect((await handedOn({}, { resource: TOOL })).child.audience).toBe(TOOL);
  });

  it('lives no longer than the task type says', async () => {
    world.services.mint = (request) => allow(request, { token_seconds: 30 });
    expect((await handedOn()).child.expiresAt).toBe(world.clock.nowSeconds() + 30);
  });

  it('gives the right to hand on offline up where the task type has it no more', async () => {
    world.services.mint = (request) => allow(request, { links: false });
    expect((await handedOn()).child.links).toBe(false);
  });

  it('hands a single operation on whole, for less time, and records that nothing was given up', async () => {
    const { parent, child, kept } = await handedOn({ scope: scope([ONE]) });
    expect(child.scope).toEqual(parent.scope);
    expect(child.expiresAt).toBe(parent.expiresAt - 1);
    expect(kept?.record.detail).not.toHaveProperty('given_up');
  });

  it('hands everything on to a relay alone', async () => {
    const agents = world.services.tenants.get('acme')?.agents;
    const before = agents?.get('risk-analyst');
    const body = agent('risk-analyst', world.analyst.client, { relay: true });
    agents?.set('risk-analyst', { body, status: 'active' });
    try {
      const { child } = await handedOn({}, { authorization_details: details(THREE) });
      expect(child.scope).toEqual(scope([THREE]));
    } finally {
      if (before) agents?.set('risk-analyst', before);
    }
  });

  it('binds the child of a token without a key, whose holder has nothing to prove', async () => {
    const { token } = world.held({ links: false }, { bearer: true });
    const { status, body } = await world.delegate(token, {}, { proof: null });
    await world.records(1);
    expect(status).toBe(200);
    expect(world.open(body.access_token).confirmation).toEqual({ jkt: world.analyst.proof.kid });
  });

  it('inherits budgets, approval and the list of who may be next', async () => {
    const inherited = {
      budgets: [{ id: 'b-1', unit: 'EUR', path: 'amount' }],
      approval: 'approval-1',
      mayAct: [{ sub: 'risk-analyst', jkt: world.analyst.proof.kid, scope: scope([ONE]) }],
    };
    expect((await handedOn(inherited)).child).toMatchObject(inherited);
  });

  it('stays online where the parent is, though the request leaves it out', async () => {
    const online = { ...ONE, check: 'online' as const };
    world.services.mint = (request: MintRequest) => ({ ...allow(request), permissions: [online] });
    const { child } = await handedOn({ scope: scope([{ ...THREE, check: 'online' }]) });
    expect(child.scope.permissions[0]?.check).toBe('online');
  });
});

function taskOf({ task }: Capability) {
  return { id: task.id, type: task.type };
}
