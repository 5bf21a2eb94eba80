import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIENCE, agentBody, everything, summary } from '../test/fixtures.ts';
import { startWorld, type World } from '../test/world.ts';

let world: World;
let admin: string;
let auditor: string;

beforeAll(async () => {
  world = await startWorld();
  admin = await world.token('dora');
  auditor = await world.token('erin');
});
afterAll(() => world?.[Symbol.asyncDispose]());

const ADMIN = '/t/acme/admin/v1';
const post = async <T = Record<string, unknown>>(
  path: string,
  payload: object,
  { token = admin, status = 200 } = {},
): Promise<T> => {
  const answer = await world.pdp.http.inject({
    method: 'POST',
    url: `${ADMIN}${path}`,
    headers: { authorization: `Bearer ${token}` },
    payload,
  });
  expect(answer.statusCode, answer.body).toBe(status);
  return answer.json<T>();
};
const push = async (text: string) => {
  const made = await world.pdp.policies.upload({
    tenant: 'acme',
    author: 'dora',
    message: 'm',
    files: { 'a.cedar': text },
  });
  return made.version;
};
const active = async () => (await world.pdp.policies.active('acme')).version;
const limit = (amount: number) =>
  `@id("limit") forbid (principal, action == Action::"orders.create", resource)
  when { context.args has amount && context.args.amount.greaterThan(decimal("${amount}.0")) };`;

const recorded = {
  id: '0199-1',
  time: '2026-11-22T14:03:12.123456Z',
  actors: ['procurement-agent'],
  user: 'alice',
  client: 'procurement-agent',
  task: { id: 'task_A', type: summary.id },
  audience: AUDIENCE,
  scope: everything,
  operation: { action: 'orders.create', resource: 'erp/orders', args: { amount: 5_000 } },
  decision: 'allow',
  reason: 'permitted',
  policy_version: '',
  registry_revision: 3,
};
type Explained = {
  sentence: string;
  agrees: boolean;
  again: object;
  dimensions: { dimension: string; verdict: string; sentence: string }[];
  policies: object[];
  caveats: string[];
};
const explain = async (over: object, options = {}) =>
  post<Explained>('/explain', { ...recorded, policy_version: await active(), ...over }, options);
const acme = () =>
  world.registry.tenants.get('acme') as NonNullable<
    ReturnType<World['registry']['tenants']['get']>
  >;

describe('an explanation', () => {
  it('takes a decision again with the policies of its own version, not of now', async () => {
    const strict = await push(limit(1_000));
    await world.pdp.policies.activate({ tenant: 'acme', version: strict, by: 'dora' });
    const then = await push(limit(4_000));
    const text = limit(4_000);
    expect(
      await explain(
        { policy_version: then, decision: 'deny', reason: 'policy_forbid' },
        { token: auditor },
      ),
    ).toEqual({
      id: '0199-1',
      sentence:
        'alice → procurement-agent: orders.create on erp/orders was refused: The guardrail limit objects.',
      recorded: {
        decision: 'deny',
        reason: 'policy_forbid',
        sentence: 'A guardrail forbids the request.',
      },
      again: { decision: 'deny', reason: 'policy_forbid', policies: ['limit'] },
      agrees: true,
      policy_version: then,
      dimensions: [
        {
          dimension: 'agent',
          verdict: 'allow',
          sentence: 'The envelope of procurement-agent admits it.',
        },
        { dimension: 'user', verdict: 'allow', sentence: 'What alice is entitled to admits it.' },
        {
          dimension: 'task',
          verdict: 'allow',
          sentence: 'The scope of the task (supplier-risk-summary) admits it.',
        },
        { dimension: 'policies', verdict: 'deny', sentence: 'The guardrail limit objects.' },
      ],
      policies: [{ id: 'limit', file: 'a.cedar', text }],
      caveats: [],
    });
    expect(
      await world.recorded(
        ({ event, detail }) => event === 'admin.query' && detail?.decision === '0199-1',
      ),
    ).toMatchObject({ principal: { c: expect.any(String) } });
  });

  it('says of each dimension what stood nearest and why it did not do', async () => {
    const { envelope } = acme().agents.get('procurement-agent') as { envelope: typeof everything };
    const small = [
      {
        actions: ['orders.create'],
        resources: ['erp/orders'],
        args: ['amount'],
        constraints: { amount: { max: 10 } },
      },
    ];
    acme().agents.set('procurement-agent', {
      body: agentBody(),
      active: true,
      envelope: small,
    });
    acme().roles.set('buyer', [{ actions: ['suppliers.read'], resources: ['**'], args: 'any' }]);
    const told = await explain({ decision: 'deny', reason: 'agent_envelope', scope: [] });
    expect(told.sentence).toBe(
      'alice → procurement-agent: orders.create on erp/orders was refused: The envelope of procurement-agent does not admit it: the nearest permission fits but for the argument amount, which fails max.',
    );
    expect(told.dimensions.map(({ verdict, sentence }) => [verdict, sentence])).toEqual([
      [
        'deny',
        'The envelope of procurement-agent does not admit it: the nearest permission fits but for the argument amount, which fails max.',
      ],
      ['deny', 'What alice is entitled to does not admit it: no permission names the action.'],
      [
        'deny',
        'The scope of the task (supplier-risk-summary) does not admit it: no permission names the action.',
      ],
      ['deny', 'The guardrail limit objects.'],
    ]);
    acme().agents.set('procurement-agent', { body: agentBody(), active: true, envelope });
    acme().roles.set('buyer', everything);
  });

  it('says what it cannot know: another revision, a decision of the PEP alone, one that differs now', async () => {
    const told = await explain({ registry_revision: 2 });
    expect(told.agrees).toBe(false);
    expect(told.caveats).toEqual([
      'The registry has changed since (revision 2 then, 3 now); agent and user are shown as they are now.',
      'Taken again now it would be refused (policy_forbid): what decided it then has changed, or is not a question of these four dimensions.',
    ]);
    const alone = await explain({
      registry_revision: undefined,
      decision: 'deny',
      reason: 'token_revoked',
      operation: { ...recorded.operation, args: {} },
    });
    expect(alone.sentence).toBe(
      'alice → procurement-agent: orders.create on erp/orders was refused: The token is revoked.',
    );
    expect(alone.caveats[0]).toMatch(/^The PEP decided alone/);
  });

  it('is for auditors and administrators, of a version that there is', async () => {
    const token = await world.token('alice');
    expect(await explain({}, { token, status: 403 })).toMatchObject({ code: 'FORBIDDEN' });
    expect(await explain({ policy_version: 'A'.repeat(43) }, { status: 404 })).toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(await explain({ time: 'yesterday' }, { status: 400 })).toMatchObject({
      code: 'INVALID_REQUEST',
    });
    expect(await explain({ extra: 1 }, { status: 400 })).toMatchObject({ code: 'INVALID_REQUEST' });
  });
});

describe('a replay', () => {
  const order = (id: string, amount: number, decision = 'allow') => ({
    ...recorded,
    id,
    decision,
    policy_version: 'v',
    operation: { ...recorded.operation, args: { amount } },
  });
  const replay = (version: string, decisions: object[], options = {}) =>
    post<{ base: string; candidate: string; decisions: { id: string; change: string }[] }>(
      `/policies/${version}/replay`,
      { decisions },
      options,
    );

  it('says of each decision what the candidate would change, and changes nothing', async () => {
    const before = await active();
    const loose = await push(limit(3_000));
    const answer = await replay(loose, [
      order('small', 500),
      order('between', 2_000),
      order('large', 9_000, 'deny'),
    ]);
    expect(answer).toEqual({
      base: before,
      candidate: loose,
      decisions: [
        expect.objectContaining({ id: 'small', change: 'none', drifted: false }),
        {
          id: 'between',
          change: 'allowed',
          base: { decision: 'deny', reason: 'policy_forbid', policies: ['limit'] },
          candidate: { decision: 'allow', reason: 'permitted', policies: ['remit:dimensions'] },
          drifted: true,
        },
        expect.objectContaining({ id: 'large', change: 'none', drifted: false }),
      ],
    });
    const strict = await push(`${limit(1_000)}
      @id("never") forbid (principal, action == Action::"orders.create", resource);`);
    expect((await replay(strict, [order('a', 500), order('b', 9_000)])).decisions).toMatchObject([
      { change: 'denied', candidate: { policies: ['never'] } },
      { change: 'reason', candidate: { policies: ['limit', 'never'] } },
    ]);
    expect(await active()).toBe(before);
  });

  it('decides at the time of the decision', async () => {
    const night = await push(`@id("night") forbid (principal, action, resource)
      when { context.now.toTime() >= duration("20h") };`);
    const at = (time: string) => ({ ...order(time, 1), time });
    const { decisions } = await replay(night, [
      at('2026-11-22T19:59:00.000000Z'),
      at('2026-11-22T20:01:00.000000Z'),
    ]);
    expect(decisions.map(({ change }) => change)).toEqual(['none', 'denied']);
  });

  it('is for auditors and administrators, and bounded', async () => {
    const version = await active();
    const token = await world.token('alice');
    await replay(version, [order('a', 1)], { token, status: 403 });
    await replay(version, [order('a', 1)], { token: auditor });
    await replay(version, [], { status: 400 });
    await replay(
      version,
      Array.from({ length: 201 }, (_, n) => order(`o${n}`, 1)),
      { status: 400 },
    );
    await replay('A'.repeat(43), [order('a', 1)], { status: 404 });
  });
});

describe('who can do what', () => {
  const get = async (path: string, { token = auditor, status = 200 } = {}) => {
    const answer = await world.pdp.http.inject({
      url: `${ADMIN}${path}`,
      headers: { authorization: `Bearer ${token}` },
    });
    expect(answer.statusCode, answer.body).toBe(status);
    return answer.json<Record<string, unknown>>();
  };
  const guarded = async () => {
    const version =
      await push(`@id("orders") forbid (principal, action in Action::"orders.**", resource)
      when { context.args has amount };
      @id("exports") forbid (principal, action == Action::"suppliers.export", resource);`);
    await world.pdp.policies.activate({ tenant: 'acme', version, by: 'dora' });
  };

  it('is told by users, agents with their task types, and guardrails that have a say', async () => {
    await guarded();
    const reads = [{ actions: ['suppliers.*'], resources: ['erp/suppliers/*'], args: [] }];
    acme().roles.set('buyer', reads);
    expect(
      await get(
        '/who-can?action=suppliers.read&resource=erp/suppliers/S-1&agents=procurement-agent,nobody',
      ),
    ).toEqual({
      action: 'suppliers.read',
      resource: 'erp/suppliers/S-1',
      registry_revision: 3,
      policy_version: await active(),
      users: [{ id: 'alice', roles: ['buyer'], permissions: reads }],
      agents: [
        {
          id: 'procurement-agent',
          permissions: everything,
          tasks: [
            expect.objectContaining({ id: summary.id }),
            expect.objectContaining({ id: 'raise-purchase-order' }),
          ],
        },
      ],
      guardrails: [],
    });
    expect(
      await get('/who-can?action=orders.create&resource=erp/orders&agents=procurement-agent'),
    ).toMatchObject({ users: [], guardrails: [{ id: 'orders', always: false }] });
    expect(await get('/who-can?action=suppliers.export&resource=erp/suppliers')).toMatchObject({
      guardrails: [{ id: 'exports', always: true }],
    });
    // Somebody who is switched off can do nothing.
    acme().agents.set('procurement-agent', {
      body: agentBody(),
      active: false,
      envelope: everything,
    });
    expect(
      await get(
        '/who-can?action=suppliers.read&resource=erp/suppliers/S-1&agents=procurement-agent',
      ),
    ).toMatchObject({ agents: [] });
    acme().agents.set('procurement-agent', {
      body: agentBody(),
      active: true,
      envelope: everything,
    });
    acme().roles.set('buyer', everything);
  });

  it('is told of one agent for one user in its dimensions, with what one has and the other not', async () => {
    const reads = [{ actions: ['suppliers.read'], resources: ['erp/suppliers/*'], args: [] }];
    acme().roles.set('buyer', reads);
    const told = await get('/can?agent=procurement-agent&user=alice');
    expect(told).toMatchObject({
      agent: { active: true, permissions: everything },
      user: { active: true, roles: ['buyer'], permissions: reads },
      tasks: [{ id: summary.id, slots: ['supplier'] }, { id: 'raise-purchase-order' }],
      both: reads,
      unused: { agent: everything, user: [] },
      guardrails: [],
    });
    expect(await get('/can?agent=procurement-agent&user=nobody')).toMatchObject({
      user: { active: false, permissions: [] },
      both: [],
    });
    acme().roles.set('buyer', everything);
  });

  it('is for auditors and administrators, about names that can be', async () => {
    const token = await world.token('alice');
    await get('/who-can?action=a&resource=b', { token, status: 403 });
    await get('/can?agent=a&user=b', { token, status: 403 });
    await get('/who-can?action=a..b&resource=b', { status: 400 });
    await get('/who-can?action=a&resource=b&more=1', { status: 400 });
    expect(
      await world.recorded(
        ({ event, detail }) => event === 'admin.query' && detail?.action === 'orders.create',
      ),
    ).toMatchObject({ detail: { route: '/t/:tenant/admin/v1/who-can' } });
  });
});
