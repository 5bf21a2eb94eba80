import type { EvaluateRequest, PermissionJson } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import {
  AUDIENCE,
  actor,
  agentBody,
  erp,
  everything,
  type FactsOptions,
  factsOf,
  guardrails,
  taskRef,
  testDeps,
} from '../test/fixtures.ts';
import { evaluate } from './evaluate.ts';

type Asked = Partial<EvaluateRequest['operation']> & {
  scope?: PermissionJson[];
  policies?: string;
};

const read: PermissionJson[] = [
  { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] },
];

function decide(asked: Asked = {}, options: FactsOptions = {}) {
  const { scope = everything, policies = '', ...operation } = asked;
  return evaluate(testDeps(), factsOf(options), guardrails(policies), {
    tenant: 'acme',
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    task: taskRef,
    audience: AUDIENCE,
    scope,
    operation: {
      action: 'suppliers.read',
      resource: 'erp/suppliers/S-100',
      args: {},
      ...operation,
    },
  });
}

describe('a decision', () => {
  it('allows what all three dimensions admit and no guardrail forbids', () => {
    expect(decide()).toEqual({
      id: '01900000-0000-7000-8000-000000000000',
      decision: 'allow',
      reason: 'permitted',
      dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' },
      policies: ['remit:dimensions'],
      policy_version: 'v:',
      registry_revision: 7,
    });
  });

  // Each goes green again only if the platform's policy stops asking for that verdict.
  it('is refused by each dimension alone, with its reason and the nearest miss', () => {
    const nothingElse = { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' };
    expect(decide({ resource: 'erp/suppliers/S-200' }, { actors: [actor(read)] })).toMatchObject({
      decision: 'deny',
      reason: 'agent_envelope',
      dimensions: { ...nothingElse, agent: 'deny' },
      miss: { kind: 'resource' },
    });
    expect(decide({ action: 'contracts.read' }, { entitlement: [read, []] })).toMatchObject({
      decision: 'deny',
      reason: 'user_entitlement',
      dimensions: { ...nothingElse, user: 'deny' },
      miss: { kind: 'action' },
    });
    expect(decide({ scope: read, args: { all: true } })).toMatchObject({
      decision: 'deny',
      reason: 'task_scope',
      dimensions: { ...nothingElse, task: 'deny' },
      miss: { kind: 'args', path: 'all' },
    });
  });

  it('names the argument and the test of the nearest constraint, never a bound', () => {
    const orders: PermissionJson[] = [
      {
        actions: ['orders.create'],
        resources: ['erp/orders'],
        args: ['amount'],
        constraints: { amount: { max: 4_711 } },
      },
    ];
    const answer = decide(
      { action: 'orders.create', resource: 'erp/orders', args: { amount: 5_000 } },
      { entitlement: [orders] },
    );
    expect(answer).toMatchObject({
      reason: 'user_entitlement',
      miss: { kind: 'constraint', path: 'amount', test: 'max' },
    });
    expect(JSON.stringify(answer)).not.toContain('4711');
  });

  it('asks the envelope of every actor of the chain', () => {
    const origin = actor(read);
    const second = actor(everything, agentBody('risk-analyst'));
    const contracts = { action: 'contracts.read', resource: 'erp/contracts/C-7' };
    expect(decide(contracts, { actors: [origin, second] }).reason).toBe('agent_envelope');
    expect(decide(contracts, { actors: [second, origin] }).reason).toBe('agent_envelope');
    expect(decide({}, { actors: [origin, second] }).reason).toBe('permitted');
  });

  it('gives a user without a role or grant nothing', () => {
    expect(decide({}, { entitlement: [] })).toMatchObject({
      reason: 'user_entitlement',
      miss: { kind: 'empty' },
    });
  });

  it('refuses whoever is unknown or switched off before it looks further', () => {
    const off = {
      agent: 'not_evaluated',
      user: 'not_evaluated',
      task: 'not_evaluated',
      policies: 'not_evaluated',
    };
    const cases: [FactsOptions, string, Record<string, string>][] = [
      [{ actors: [undefined] }, 'agent_inactive', { ...off, agent: 'deny' }],
      [{ actors: [] }, 'agent_inactive', { ...off, agent: 'deny' }],
      [
        { actors: [actor(), actor(everything, agentBody('risk-analyst'), false)] },
        'agent_inactive',
        { ...off, agent: 'deny' },
      ],
      [{ user: null }, 'user_inactive', { ...off, user: 'deny' }],
      [{ userActive: false }, 'user_inactive', { ...off, user: 'deny' }],
      [{ tenantActive: false }, 'tenant_unknown', off],
    ];
    for (const [options, reason, dimensions] of cases) {
      expect(decide({}, options), reason).toMatchObject({ decision: 'deny', reason, dimensions });
    }
  });

  it('refuses an audience that is no tool and an action that the tool does not have', () => {
    expect(decide({}, { tool: null })).toMatchObject({
      decision: 'deny',
      reason: 'target_unknown',
      dimensions: { policies: 'not_evaluated' },
    });
    expect(decide({ action: 'suppliers.delete' })).toMatchObject({
      decision: 'deny',
      reason: 'policy_error',
      policies: ['remit:request'],
    });
  });

  it('refuses a task whose type is gone, whatever the token says', () => {
    expect(decide({}, { taskType: null })).toMatchObject({
      reason: 'task_scope',
      miss: { kind: 'empty' },
    });
  });

  it('refuses an operation or a scope that has no one reading', () => {
    for (const operation of [
      { resource: 'erp/../secrets' },
      { action: 'suppliers.*' },
      { action: '' },
      { args: { 'a.b': 1 } },
      { args: JSON.parse('{"__proto__":{"a":1}}') as Record<string, unknown> },
    ]) {
      expect(decide(operation), JSON.stringify(operation)).toMatchObject({
        decision: 'deny',
        reason: 'arguments_invalid',
      });
    }
    const scope = [
      { actions: ['a'], resources: ['b'], args: 'some' },
    ] as unknown as PermissionJson[];
    expect(decide({ scope })).toMatchObject({ reason: 'task_scope', dimensions: { task: 'deny' } });
  });
});

describe('guardrails', () => {
  const limit = `@id("limit") forbid (principal, action == Action::"orders.create", resource)
    when { context.args has amount && context.args.amount.greaterThan(decimal("1000.0")) };`;
  const order = { action: 'orders.create', resource: 'erp/orders' };

  it('forbid what all dimensions admit and are named', () => {
    expect(decide({ ...order, args: { amount: 1_000.5 }, policies: limit })).toMatchObject({
      decision: 'deny',
      reason: 'policy_forbid',
      dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'deny' },
      policies: ['limit'],
    });
    expect(decide({ ...order, args: { amount: 1_000 }, policies: limit }).decision).toBe('allow');
  });

  it('leave the reason to the dimension that refuses, and are named beside it', () => {
    expect(
      decide({ ...order, args: { amount: 2_000 }, policies: limit, scope: read }),
    ).toMatchObject({
      reason: 'task_scope',
      dimensions: { task: 'deny', policies: 'deny' },
      policies: ['limit'],
    });
  });

  it('see agents, user, groups, roles, attributes, task and resource', () => {
    const facts = `context.tenant == "acme" && context.client == "procurement-agent" &&
      context.audience == "https://erp.example" && context.origin == principal &&
      context.agents.contains(Agent::"procurement-agent") && principal.owner == "team-procurement" &&
      principal.hasTag("tier") && principal.getTag("tier") == "2" && principal.version == 1 &&
      context.user in Group::"treasury" && context.user in Role::"buyer" &&
      context.user.hasTag("department") && context.user.getTag("department") == "treasury" &&
      context.task.type == "supplier-risk-summary" && context.task.purpose like "Summarise*" &&
      resource.system == "erp" && resource.segments has s2 && resource.segments.s2 like "S-*" &&
      resource in Resource::"erp/suppliers" && action in Action::"suppliers.**" &&
      context.now < datetime("2026-11-22T10:00:00.001Z")`;
    expect(
      decide({ policies: `@id("all") forbid (principal, action, resource) when { ${facts} };` }),
    ).toMatchObject({ reason: 'policy_forbid', policies: ['all'] });
    expect(
      decide({ policies: `@id("all") forbid (principal, action, resource) unless { ${facts} };` })
        .reason,
    ).toBe('permitted');
  });

  // Row 46 of the catalogue: Cedar skips a policy that errors, so without the rule this is an allow.
  it('that fail deny, and raise the alarm', () => {
    const alarms: unknown[] = [];
    const set = guardrails(
      `@id("overflow") forbid (principal, action == Action::"payments.release", resource)
         when { context.args has count && context.args.count * 9007199254740991 > 0 };`,
    );
    const answer = evaluate(
      testDeps({ onPolicyError: (ids) => alarms.push(ids) }),
      factsOf(),
      set,
      {
        tenant: 'acme',
        actors: ['procurement-agent'],
        user: 'alice',
        client: 'procurement-agent',
        task: taskRef,
        audience: AUDIENCE,
        scope: everything,
        operation: {
          action: 'payments.release',
          resource: 'erp/payments/P-1',
          args: { count: 9_007_199_254_740_991 },
        },
      },
    );
    expect(answer).toMatchObject({
      decision: 'deny',
      reason: 'policy_error',
      dimensions: { policies: 'deny' },
      policies: ['overflow'],
    });
    expect(alarms).toEqual([['overflow']]);
  });

  it('are not asked about what Cedar cannot hold: the call is refused', () => {
    const payment = { action: 'payments.release', resource: 'erp/payments/P-1' };
    for (const args of [
      { amount: 1e20 },
      { amount: 0.00001 },
      { amount: '12' },
      { count: 1.5 },
      { urgent: 'yes' },
      { tags: ['a', 1] },
      { note: { __entity: { type: 'User', id: 'root' } } },
      { note: [{ deep: { __extn: { fn: 'decimal', arg: '1.0' } } }] },
      { note: { __expr: 'true' } },
      { __entity: { type: 'User', id: 'root' } },
    ]) {
      expect(decide({ ...payment, args }), JSON.stringify(args)).toMatchObject({
        decision: 'deny',
        reason: 'policy_error',
        policies: ['remit:facts'],
      });
    }
  });

  it('see null as absent, and no argument that the tool does not declare', () => {
    const policies = `@id("given") forbid (principal, action == Action::"payments.release", resource)
      when { context.args has amount };`;
    const payment = { action: 'payments.release', resource: 'erp/payments/P-1', policies };
    expect(decide({ ...payment, args: { amount: null } }).reason).toBe('permitted');
    expect(decide({ ...payment, args: { else: 1e20 } }).reason).toBe('permitted');
    expect(decide({ ...payment, args: { amount: 0 } }).reason).toBe('policy_forbid');
  });

  it('keep ids that look like Cedar apart from Cedar', () => {
    const evil = '"}; permit(principal,action,resource);//';
    const policies = `@id("other") forbid (principal == Agent::"other", action, resource);`;
    expect(decide({ policies }, { actors: [actor(everything, agentBody(evil))] }).reason).toBe(
      'permitted',
    );
    const answer = decide(
      {
        policies:
          '@id("is-tool") forbid (principal, action, resource) when { context.user == User::"erp" };',
      },
      { actors: [actor(everything, agentBody('erp'))], tool: erp },
    );
    expect(answer.reason).toBe('permitted');
    expect(decide({}, { actors: [actor(everything, agentBody('\ud800'))] }).reason).toBe(
      'policy_error',
    );
  });
});
