import { generateKeyPairSync } from 'node:crypto';
import { importSigner, type Signer, within } from '@remit/capability';
import type { MintRequest, PublicJwk } from '@remit/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { allow, deny, READ } from '../test/fake-services.ts';
import { expectRefused, type HeldWorld, startHeldWorld, THREE } from '../test/held.ts';
import { agent } from '../test/registry-bodies.ts';
import { DETAILS } from '../test/world.ts';

const RISK = { ...READ, actions: ['suppliers.risk.read'] };

let world: HeldWorld;
const proofs = [newSigner(), newSigner()] as const;
beforeAll(async () => {
  world = await startHeldWorld();
  name('risk-analyst', { proof_keys: proofs.map(jwk) });
  name('origin-agent', { proof_keys: [jwk(newSigner())] });
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.services.asked.length = 0;
});
afterEach(() => {
  world.services.mint = allow;
});

function newSigner(): Signer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return importSigner({ ...privateKey.export({ format: 'jwk' }) });
}
function jwk({ publicJwk }: Signer): PublicJwk {
  return publicJwk as PublicJwk;
}
function name(
  id: string,
  more: Parameters<typeof agent>[2],
  status: 'active' | 'inactive' = 'active',
) {
  const body = agent(id, id === 'procurement-agent' ? world.clientKey : world.analyst.client, more);
  world.services.tenants.get('acme')?.agents.set(id, { body, status });
}
const limits = (asked: object) => ({
  authorization_details: JSON.stringify([{ ...DETAILS[0], limits: asked }]),
});
const mints = (): MintRequest[] =>
  world.services.asked
    .filter(({ method }) => method === 'pdp.mint')
    .map(({ body }) => body as MintRequest);

describe('who may be named next', () => {
  const named = (may_act: string[]) => (request: MintRequest) => {
    if (request.actors.length === 1)
      return { ...allow(request, { may_act }), permissions: [THREE] };
    return { ...allow(request), permissions: [RISK] };
  };

  // Red when an entry takes the token's scope instead of the decision for the chain with its agent.
  it('stands in the token with each proof key and what its own envelope leaves', async () => {
    world.services.mint = named(['risk-analyst', 'procurement-agent', 'curl-agent', 'nobody']);
    const { body } = await world.ask();
    const { mayAct, scope } = world.open(body.access_token);
    expect(mayAct?.map(({ sub, jkt }) => [sub, jkt])).toEqual(
      proofs.map(({ kid }) => ['risk-analyst', kid]),
    );
    for (const entry of mayAct ?? []) {
      expect(entry.scope.permissions).toMatchObject([RISK]);
      expect(within(entry.scope, scope)).toBe(true);
    }
    expect(mints().at(-1)).toMatchObject({
      actors: ['procurement-agent', 'risk-analyst'],
      user: 'alice',
      task: { type: 'supplier-risk-summary', ceiling: [THREE] },
      requested: [THREE],
      narrow: true,
    });
    await world.records(1);
  });

  it('leaves out who is suspended or may do nothing of it, down to nobody', async () => {
    name('risk-analyst', { proof_keys: [jwk(proofs[0])] }, 'inactive');
    world.services.mint = (request) =>
      request.actors.length === 1
        ? allow(request, { may_act: ['risk-analyst', 'origin-agent'] })
        : deny('agent_envelope');
    const { body } = await world.ask();
    expect(world.open(body.access_token).mayAct).toEqual([]);
    name('risk-analyst', { proof_keys: proofs.map(jwk) });
    await world.records(1);
  });

  it('is judged again at a renewal, and never grows', async () => {
    world.services.mint = named(['risk-analyst', 'origin-agent']);
    const first = await world.ask(limits({ may_act: ['risk-analyst'] }));
    const again = await world.renew(String(first.body.access_token));
    expect(again.status).toBe(200);
    const subs = (token: unknown) => new Set(world.open(token).mayAct?.map(({ sub }) => sub));
    expect(subs(again.body.access_token)).toEqual(new Set(['risk-analyst']));
    world.services.mint = named([]);
    const last = await world.renew(String(again.body.access_token));
    expect(world.open(last.body.access_token).mayAct).toEqual([]);
    await world.records(3);
  });

  it('fails the launch when the decision about one cannot be had', async () => {
    world.services.mint = (request) => {
      if (request.actors.length > 1) throw new Error('fault');
      return allow(request, { may_act: ['risk-analyst'] });
    };
    expect((await world.ask()).status).toBe(503);
    await world.records(1);
  });
});

describe('a client', () => {
  it('may ask for less than the task type says', async () => {
    world.services.mint = (request) =>
      allow(request, { depth_max: 2, links: true, may_act: ['risk-analyst', 'origin-agent'] });
    const { body } = await world.ask(
      limits({
        until_seconds: 600,
        token_seconds: 60,
        depth_max: 1,
        single_use: true,
        links: false,
        may_act: [],
      }),
    );
    const token = world.open(body.access_token);
    expect(token).toMatchObject({ depth: { used: 0, max: 1 }, links: false, mayAct: [] });
    expect(token.expiresAt - token.issuedAt).toBe(60);
    expect(token.singleUse).toMatch(/^[A-Za-z0-9_-]{22,}$/);
    expect(body.task).toMatchObject({ until: world.clock.nowSeconds() + 600 });
    await world.records(1);
  });

  // Red when `limitedTerms` takes what is asked for instead of comparing it.
  it.each([
    ['until_seconds', 3_601],
    ['token_seconds', 301],
    ['depth_max', 3],
    ['single_use', false],
    ['links', true],
    ['may_act', ['risk-analyst', 'curl-agent']],
  ] as const)('may not ask for more: %s', async (limit, value) => {
    world.services.mint = (request) =>
      allow(request, { single_use: true, links: false, may_act: ['risk-analyst'] });
    const { body } = await expectRefused(world, () => world.ask(limits({ [limit]: value })), {
      error: 'invalid_authorization_details',
      reason: 'task_scope',
      description: `The task type does not allow the limit ${limit}.`,
    });
    expect(body).toMatchObject({ dimension: 'task', refused: { path: `limits.${limit}` } });
  });

  it('may not write limits that are not known, or of another type', async () => {
    for (const asked of [{ extra: 1 }, { depth_max: '1' }, { links: 1 }, { may_act: 'x' }]) {
      await expectRefused(world, () => world.ask(limits(asked)), {
        error: 'invalid_authorization_details',
        reason: 'request_malformed',
      });
    }
  });
});

describe('a free list of permissions', () => {
  const free = {
    authorization_details: JSON.stringify([{ type: 'urn:remit:capability:1', ...RISK }]),
  };

  // Red when `checkLaunch` does not read `free_tasks`.
  it('starts a task for agents that the registry lets, and the record says so', async () => {
    await expectRefused(world, () => world.ask(free), {
      error: 'invalid_authorization_details',
      reason: 'task_type_not_allowed',
    });
    expect(mints()).toEqual([]);
    name('procurement-agent', { free_tasks: true });
    const { status, body } = await world.ask(free);
    expect([status, (body.task as { type: string }).type]).toEqual([200, 'remit:free']);
    expect(mints().at(-1)).toMatchObject({
      task: { type: 'remit:free', slots: {}, ceiling: [RISK] },
      requested: [RISK],
      narrow: false,
    });
    const [kept] = await world.records(1);
    expect(kept?.record).toMatchObject({
      event: 'token.issued',
      task: { type: 'remit:free' },
      detail: { asked: 'free_list' },
    });
    name('procurement-agent', {});
  });

  it('is no way around a task type: its name is refused as one', async () => {
    const details = JSON.stringify([{ ...DETAILS[0], task_type: 'remit:free' }]);
    await expectRefused(world, () => world.ask({ authorization_details: details }), {
      error: 'invalid_authorization_details',
      reason: 'task_type_not_allowed',
    });
  });
});
