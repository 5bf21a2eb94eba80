import { type Bus, connectBus, createVerifier } from '@remit/bus';
import type { EvaluateRequest, MintRequest } from '@remit/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIENCE, everything, summary } from '../test/fixtures.ts';
import { startWorld, type World } from '../test/world.ts';

let world: World;
let pep: Bus;
let issuer: Bus;
let admin: string;
let loose: string;
let strict: string;

beforeAll(async () => {
  world = await startWorld();
  const { infra } = world;
  admin = await world.token('dora');
  pep = await connectBus({ url: infra.natsUrl, ...infra.pepCreds('acme', 'erp-1'), name: 'erp-1' });
  issuer = await connectBus({ url: infra.natsUrl, ...infra.creds('issuer'), name: 'issuer' });
  loose = await push(
    '@id("export") forbid (principal, action == Action::"suppliers.export", resource);',
  );
  strict =
    await push(`@id("frozen") forbid (principal, action == Action::"suppliers.read", resource);
    @id("typed") forbid (principal, action == Action::"orders.create", resource)
    when { context.args has amount };`);
  await world.pdp.policies.activate({ tenant: 'acme', version: loose, by: 'dora' });
});
afterAll(async () => {
  await issuer?.close();
  await pep?.close();
  await world?.[Symbol.asyncDispose]();
});

const push = async (text: string) =>
  (
    await world.pdp.policies.upload({
      tenant: 'acme',
      author: 'dora',
      message: 'm',
      files: { 'a.cedar': text },
    })
  ).version;
const verifier = () => createVerifier({ keys: world.infra.trust().keys.pdp });
const evaluate = (action: string) => {
  const request: EvaluateRequest = {
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    task: { id: 'task_A', type: summary.id },
    audience: AUDIENCE,
    scope: everything,
    operation: { action, resource: 'erp/suppliers/S-100', args: {} },
  };
  return pep.call('pdp.evaluate', 'acme', request, { verifier: verifier() });
};
const mint = () => {
  const request: MintRequest = {
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    audience: AUDIENCE,
    task: { id: 'task_A', type: summary.id, slots: { supplier: 'S-100' } },
    narrow: false,
  };
  return issuer.call('pdp.mint', 'acme', request, { verifier: verifier() });
};
type Results = {
  shadow: { version: string } | null;
  tally: { same: number; different: number; failed: number };
  differences: { id: string }[];
};
const call = async <T = Results>(
  method: 'DELETE' | 'GET' | 'POST',
  path: string,
  { token = admin, status = 200 } = {},
) => {
  const answer = await world.pdp.http.inject({
    method,
    url: `/t/acme/admin/v1/policies${path}`,
    headers: { authorization: `Bearer ${token}` },
  });
  expect(answer.statusCode, answer.body).toBe(status);
  return answer.json<T>();
};
const resultsOf = async (seen: number): Promise<Results> => {
  const results = await expect
    .poll(() => call('GET', '/shadow'), { interval: 20, timeout: 5_000 })
    .toSatisfy(({ tally }: Results) => tally.same + tally.different + tally.failed >= seen)
    .then(() => call('GET', '/shadow'));
  return results;
};

describe('a version in shadow', () => {
  // Answer with what shadow says, in the decider, and this goes red.
  it('is decided beside the active one and never enforced; what differs can be looked up', async () => {
    expect(await call('GET', '/shadow')).toEqual({
      shadow: null,
      version: null,
      tally: { same: 0, different: 0, failed: 0 },
      differences: [],
    });
    await call('POST', `/${strict}/shadow`);
    const refused = await evaluate('suppliers.read');
    expect(refused).toMatchObject({ decision: 'allow', policy_version: loose });
    expect(await evaluate('contracts.read')).toMatchObject({ decision: 'allow' });
    const minted = await mint();
    expect(minted).toMatchObject({ decision: 'allow', policy_version: loose });
    const { shadow, tally, differences } = await resultsOf(3);
    expect(shadow).toMatchObject({ version: strict });
    expect(tally).toEqual({ same: 1, different: 2, failed: 0 });
    expect(differences).toHaveLength(2);
    expect(differences).toContainEqual({
      id: refused.id,
      at: expect.any(String),
      active_version: loose,
      kind: 'evaluate',
      actors: ['procurement-agent'],
      task_type: summary.id,
      action: 'suppliers.read',
      resource: 'erp/suppliers/S-100',
      active: { decision: 'allow', reason: 'permitted', policies: ['remit:dimensions'] },
      shadow: { decision: 'deny', reason: 'policy_forbid', policies: ['frozen'] },
    });
    expect(differences).toContainEqual(
      expect.objectContaining({
        id: minted.id,
        kind: 'mint',
        active: expect.objectContaining({ decision: 'allow', local: 1, online: 0 }),
        shadow: expect.objectContaining({ online: 1, local: 0 }),
      }),
    );
    // Nothing of it names the user.
    expect(JSON.stringify(differences)).not.toContain('alice');
    expect(await world.recorded(({ event }) => event === 'policy.shadowed')).toMatchObject({
      policy_version: strict,
      detail: { change: 'started' },
    });
    expect((await world.pdp.policies.active('acme')).version).toBe(loose);
  });

  it('sees nothing any more once it is ended, and its results stay', async () => {
    expect(await call('DELETE', '/shadow')).toEqual({ shadow: null });
    expect(await evaluate('suppliers.read')).toMatchObject({ decision: 'allow' });
    expect(await call('GET', '/shadow')).toMatchObject({ shadow: null, differences: [] });
    expect(await call('GET', `/shadow?version=${strict}`)).toMatchObject({
      tally: { same: 1, different: 2 },
    });
  });

  it('is begun by administrators alone, with a version that there is', async () => {
    const auditor = await world.token('erin');
    await call('POST', `/${strict}/shadow`, { token: auditor, status: 403 });
    await call('DELETE', '/shadow', { token: auditor, status: 403 });
    await call('POST', `/${'A'.repeat(43)}/shadow`, { status: 404 });
    expect(await call('GET', '/shadow', { token: auditor })).toMatchObject({ shadow: null });
    await call('GET', '/shadow', { token: await world.token('alice'), status: 403 });
  });
});
