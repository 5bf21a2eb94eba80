import { type Bus, connectBus, createSigner, createVerifier } from '@remit/bus';
import type { EvaluateRequest, MintRequest } from '@remit/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIENCE, everything, summary } from '../test/fixtures.ts';
import { startWorld, type World } from '../test/world.ts';

let world: World;
let issuer: Bus;
let pep: Bus;

beforeAll(async () => {
  world = await startWorld();
  const { infra } = world;
  issuer = await connectBus({ url: infra.natsUrl, ...infra.creds('issuer'), name: 'issuer' });
  pep = await connectBus({ url: infra.natsUrl, ...infra.pepCreds('acme', 'erp-1'), name: 'erp-1' });
});
afterAll(async () => {
  await issuer?.close();
  await pep?.close();
  await world?.[Symbol.asyncDispose]();
});

const verifier = () => createVerifier({ keys: world.infra.trust().keys.pdp });
const call: EvaluateRequest = {
  actors: ['procurement-agent'],
  user: 'alice',
  client: 'procurement-agent',
  task: { id: 'task_A', type: summary.id },
  audience: AUDIENCE,
  scope: everything,
  operation: { action: 'suppliers.read', resource: 'erp/suppliers/S-100', args: {} },
};
const launch: MintRequest = {
  actors: ['procurement-agent'],
  user: 'alice',
  client: 'procurement-agent',
  audience: AUDIENCE,
  task: { id: 'task_A', type: summary.id, slots: { supplier: 'S-100' } },
  narrow: false,
};
const evaluate = (more: Partial<EvaluateRequest> = {}) =>
  pep.call('pdp.evaluate', 'acme', { ...call, ...more }, { verifier: verifier() });
const mint = (more: Partial<MintRequest> = {}) =>
  issuer.call('pdp.mint', 'acme', { ...launch, ...more }, { verifier: verifier() });
const acme = () =>
  world.registry.tenants.get('acme') as NonNullable<
    ReturnType<World['registry']['tenants']['get']>
  >;

describe('over the bus', () => {
  it('a PEP is told what all dimensions say', async () => {
    expect(await evaluate()).toMatchObject({
      decision: 'allow',
      reason: 'permitted',
      registry_revision: 3,
      policies: ['remit:dimensions'],
    });
    expect(await evaluate({ scope: [] })).toMatchObject({ decision: 'deny', reason: 'task_scope' });
  });

  it('the issuer is told what a token may hold', async () => {
    expect(await mint()).toMatchObject({
      decision: 'allow',
      permissions: [
        {
          actions: ['suppliers.read', 'suppliers.risk.read'],
          resources: ['erp/suppliers/S-100'],
          args: [],
        },
      ],
    });
  });

  it('entitlements and statuses are read for every decision', async () => {
    const alice = acme().users.get('alice') as { active: boolean; roles: string[] };
    alice.roles = [];
    expect((await evaluate()).reason).toBe('user_entitlement');
    expect((await mint()).reason).toBe('user_entitlement');
    alice.roles = ['buyer'];
    alice.active = false;
    expect((await evaluate()).reason).toBe('user_inactive');
    alice.active = true;
    const agent = acme().agents.get('procurement-agent') as { active: boolean };
    agent.active = false;
    expect((await mint()).reason).toBe('agent_inactive');
    agent.active = true;
    expect((await evaluate()).decision).toBe('allow');
  });

  it('an envelope counts only as signed, for this tenant, agent and version', async () => {
    const data = acme();
    data.envelopeSigner = createSigner(world.infra.signer('registry-bus'));
    expect((await evaluate()).reason).toBe('agent_envelope');
    delete data.envelopeSigner;
    for (const claims of [{ tenant: 'globex' }, { agent: 'other' }, { version: 2 }]) {
      data.envelopeClaims = claims;
      expect((await evaluate()).reason, JSON.stringify(claims)).toBe('agent_envelope');
      expect((await mint()).reason, JSON.stringify(claims)).toBe('agent_envelope');
    }
    data.envelopeClaims = {};
    expect((await evaluate()).decision).toBe('allow');
  });

  it('a PEP can neither mint nor ask for another tenant', async () => {
    await expect(
      pep.call('pdp.mint', 'acme', launch, { verifier: verifier() }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/PERMISSION_DENIED|CALL_UNAVAILABLE/) });
    await expect(
      pep.call('pdp.evaluate', 'globex', call, { verifier: verifier() }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/PERMISSION_DENIED|CALL_UNAVAILABLE/) });
  });

  it('an unknown tenant is refused by its code', async () => {
    await expect(
      issuer.call('pdp.mint', 'initech', launch, { verifier: verifier() }),
    ).rejects.toMatchObject({ code: 'CALL_REFUSED', details: { code: 'TENANT_UNKNOWN' } });
  });
});
