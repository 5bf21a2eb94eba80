import type { MintRequest, PermissionJson } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { freeTask } from '../decide/free-task.ts';
import {
  AUDIENCE,
  actor,
  agentBody,
  erp,
  everything,
  type FactsOptions,
  factsOf,
  guardrails,
  purchase,
  summary,
  testDeps,
  userBody,
} from '../test/fixtures.ts';
import { mint } from './mint.ts';

type Asked = {
  task?: Partial<MintRequest['task']>;
  requested?: PermissionJson[];
  narrow?: boolean;
  policies?: string;
};

function ask(asked: Asked = {}, options: FactsOptions = {}) {
  const type = options.taskType?.id ?? summary.id;
  return mint(testDeps(), factsOf(options), guardrails(asked.policies), {
    tenant: 'acme',
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    audience: AUDIENCE,
    task: { id: 'task_A', type, slots: { supplier: 'S-100' }, ...asked.task },
    ...(asked.requested ? { requested: asked.requested } : {}),
    narrow: asked.narrow ?? false,
  });
}

const buy = { ceiling: 10_000, currency: 'EUR', supplier: 'S-100' };
const order = (max = 500, more: Partial<PermissionJson> = {}): PermissionJson => ({
  actions: ['orders.create'],
  resources: ['erp/orders'],
  args: ['supplier', 'amount', 'currency', 'item'],
  constraints: {
    amount: { max, min: 0 },
    currency: { in: ['EUR'] },
    item: { maxLength: 100 },
    supplier: { in: ['S-100'] },
  },
  ...more,
});

/** A refusal hands out nothing. */
const refused = (reason: string, dimension: string | undefined, more: object = {}) => ({
  decision: 'deny',
  reason,
  ...(dimension ? { dimension } : {}),
  permissions: [],
  ceiling: [],
  ...more,
});

describe('a launch', () => {
  it('gives what the instance of the task type and all dimensions admit', () => {
    const instance = [
      {
        actions: ['suppliers.read', 'suppliers.risk.read'],
        resources: ['erp/suppliers/S-100'],
        args: [],
      },
    ];
    expect(
      ask({}, { actors: [actor([{ ...(everything[0] as PermissionJson), actions: ['*.read'] }])] }),
    ).toEqual({
      id: '01900000-0000-7000-8000-000000000000',
      decision: 'allow',
      reason: 'permitted',
      dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'allow' },
      permissions: [{ actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] }],
      ceiling: instance,
      task: {
        purpose: 'Summarise the risk of one supplier',
        until_seconds: 3_600,
        token_seconds: 300,
        depth_max: 3,
        single_use: false,
        links: false,
      },
      policies: ['remit:dimensions'],
      policy_version: 'v:',
      registry_revision: 7,
    });
  });

  it('passes on what the task type says of next actors and budgets', () => {
    const terms = {
      may_act: ['risk-analyst'],
      budgets: [{ name: 'orders', per: 'user' as const, unit: 'EUR', path: 'amount', limit: 9.5 }],
    };
    const answer = ask({ task: { slots: buy } }, { taskType: { ...purchase, ...terms } });
    expect(answer.task).toMatchObject(terms);
  });

  // Red when a free task is decided without its list, or for any agent.
  it('of a free task is within the list and all dimensions, for agents that may start one', () => {
    const type = 'remit:free';
    const ceiling = [order(500)];
    const origin = agentBody('procurement-agent', { free_tasks: true });
    const own = freeTask(type, origin);
    expect(own).toMatchObject({ depth_max: 0, links: false, until_seconds: 900 });
    expect(freeTask(type, agentBody())).toBeUndefined();
    expect(freeTask(summary.id, origin)).toBeUndefined();
    const options = { taskType: own ?? null, actors: [actor(everything, origin)] };
    expect(ask({ task: { type, slots: {}, ceiling }, requested: ceiling }, options)).toMatchObject({
      decision: 'allow',
      permissions: ceiling,
      ceiling,
    });
    expect(ask({ task: { type, slots: {} } }, options)).toMatchObject(
      refused('task_type_not_allowed', 'task'),
    );
  });

  it('fills slots as constraint values and as segments', () => {
    const answer = ask({ task: { slots: buy } }, { taskType: purchase });
    expect(answer.permissions).toEqual([
      { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] },
      {
        actions: ['orders.create'],
        resources: ['erp/orders'],
        args: ['supplier', 'amount', 'currency', 'item'],
        constraints: {
          amount: { max: 10_000, min: 0 },
          currency: { in: ['EUR'] },
          item: { maxLength: 200 },
          supplier: { in: ['S-100'] },
        },
      },
    ]);
  });

  it('joins what several roles give, each met by itself', () => {
    const roles: PermissionJson[][] = [
      [{ actions: ['suppliers.read'], resources: ['erp/**'], args: 'any' }],
      [
        {
          actions: ['orders.*'],
          resources: ['erp/**'],
          args: 'any',
          constraints: { amount: { max: 99 } },
        },
      ],
    ];
    const answer = ask({ task: { slots: buy } }, { taskType: purchase, entitlement: roles });
    expect(answer.permissions.map((permission) => permission.actions)).toEqual([
      ['suppliers.read'],
      ['orders.create'],
    ]);
    expect(answer.permissions[1]?.constraints?.amount).toEqual({ max: 99, min: 0 });
  });

  it('takes one whole segment, one exact number and one listed value, and nothing else', () => {
    const bad: [string, Record<string, string | number>][] = [
      ['supplier', { ...buy, supplier: 'S-*' }],
      ['supplier', { ...buy, supplier: '**' }],
      ['supplier', { ...buy, supplier: 'a/b' }],
      ['supplier', { ...buy, supplier: '..' }],
      ['supplier', { ...buy, supplier: '{supplier}' }],
      ['supplier', { ...buy, supplier: 'e\u0301' }],
      ['supplier', { ...buy, supplier: 100 }],
      ['supplier', { ceiling: 1, currency: 'EUR' }],
      ['ceiling', { ...buy, ceiling: '10' }],
      ['ceiling', { ...buy, ceiling: 0.00001 }],
      ['ceiling', { ...buy, ceiling: 50_001 }],
      ['ceiling', { ...buy, ceiling: 0 }],
      ['currency', { ...buy, currency: 'GBP' }],
      ['more', { ...buy, more: 'x' }],
    ];
    for (const [slot, slots] of bad) {
      expect(ask({ task: { slots } }, { taskType: purchase }), JSON.stringify(slots)).toMatchObject(
        refused('slot_invalid', 'task', { refused: { slot } }),
      );
    }
  });

  it('refuses a task type that is broken rather than guess', () => {
    for (const permissions of [
      [{ actions: ['suppliers.read'], resources: ['erp/{nobody}'], args: [] }],
      [{ actions: ['{supplier}'], resources: ['erp'], args: [] }],
      [{ actions: ['suppliers.read'], resources: ['erp/x-{supplier}'], args: [] }],
      [
        {
          actions: ['suppliers.read'],
          resources: ['erp'],
          args: ['a'],
          constraints: { a: { max: '{supplier}' } },
        },
      ],
    ] as PermissionJson[][]) {
      expect(ask({}, { taskType: { ...summary, permissions } })).toMatchObject(
        refused('slot_invalid', 'task'),
      );
    }
  });

  it('names the dimension after which nothing is left', () => {
    const contracts: PermissionJson[] = [
      { actions: ['contracts.read'], resources: ['erp/**'], args: 'any' },
    ];
    expect(ask({}, { actors: [actor(contracts)] })).toMatchObject(
      refused('agent_envelope', 'agent', {
        dimensions: { task: 'allow', agent: 'deny', user: 'not_evaluated' },
        miss: { kind: 'action' },
      }),
    );
    expect(ask({}, { entitlement: [contracts, []] })).toMatchObject(
      refused('user_entitlement', 'user', { dimensions: { agent: 'allow', user: 'deny' } }),
    );
    expect(ask({}, { tool: { ...erp, actions: ['contracts.read'] } })).toMatchObject(
      refused('task_scope', 'task', { dimensions: { task: 'deny', agent: 'not_evaluated' } }),
    );
  });

  it('needs the envelope of every actor', () => {
    const only = (action: string) =>
      actor([{ actions: [action], resources: ['erp/**'], args: 'any' }]);
    expect(ask({}, { actors: [only('suppliers.read'), only('suppliers.*')] }).permissions).toEqual([
      { actions: ['suppliers.read'], resources: ['erp/suppliers/S-100'], args: [] },
    ]);
    expect(ask({}, { actors: [only('suppliers.read'), only('contracts.read')] })).toMatchObject(
      refused('agent_envelope', 'agent'),
    );
  });

  it('holds only what the tool of the audience can do', () => {
    const tool = { ...erp, actions: ['suppliers.risk.read', 'suppliers.*'] };
    expect(ask({}, { tool }).permissions.map((permission) => permission.actions)).toEqual([
      ['suppliers.risk.read'],
    ]);
  });

  it('refuses parties, targets and task types that are not there', () => {
    expect(ask({}, { actors: [undefined] })).toMatchObject(refused('agent_inactive', 'agent'));
    expect(ask({}, { userActive: false })).toMatchObject(refused('user_inactive', 'user'));
    expect(ask({}, { tenantActive: false })).toMatchObject(refused('tenant_unknown', undefined));
    expect(ask({}, { tool: null })).toMatchObject(refused('target_unknown', undefined));
    expect(ask({}, { taskType: null })).toMatchObject(refused('task_type_not_allowed', 'task'));
    const other = actor(everything, agentBody('procurement-agent', { task_types: [purchase.id] }));
    expect(ask({}, { actors: [other] })).toMatchObject(refused('task_type_not_allowed', 'task'));
    // What counts is the agent that the task began with, not one that it handed on to.
    expect(ask({}, { actors: [actor(), other] }).decision).toBe('allow');
  });

  it('of a running task is decided against its ceiling, not a new instance', () => {
    const ceiling: PermissionJson[] = [
      { actions: ['suppliers.read'], resources: ['erp/suppliers/S-7'], args: [] },
    ];
    const answer = ask({ task: { slots: {}, ceiling } });
    expect(answer.permissions).toEqual(ceiling);
    expect(answer.ceiling).toEqual(ceiling);
    expect(ask({ task: { slots: {} } }).reason).toBe('slot_invalid');
  });
});

describe('a list that the client wrote', () => {
  const options = { taskType: purchase };
  const task = { slots: buy };

  it('is admitted in full when it is within everything', () => {
    const answer = ask({ task, requested: [order()] }, options);
    expect(answer.decision).toBe('allow');
    expect(answer.permissions).toEqual([order()]);
  });

  it('is refused with dimension, index and path when one permission is too much', () => {
    const wide = order(10_001);
    const agent = actor([
      {
        ...(everything[0] as PermissionJson),
        constraints: { amount: { max: 100, optional: true } },
      },
    ]);
    const within = [order(), wide];
    expect(ask({ task, requested: within }, options)).toMatchObject(
      refused('task_scope', 'task', { refused: { permission: 1, path: 'amount' } }),
    );
    expect(ask({ task, requested: [order()] }, { ...options, actors: [agent] })).toMatchObject(
      refused('agent_envelope', 'agent', { refused: { permission: 0, path: 'amount' } }),
    );
    expect(ask({ task, requested: [order()] }, { ...options, entitlement: [] })).toMatchObject(
      refused('user_entitlement', 'user', { refused: { permission: 0 } }),
    );
  });

  it('is narrowed only when it says so', () => {
    const wide = order(99_999);
    const answer = ask({ task, requested: [wide], narrow: true }, options);
    expect(answer.permissions[0]?.constraints?.amount).toEqual({ max: 10_000, min: 0 });
    const foreign = order(500, { actions: ['payments.release'] });
    expect(ask({ task, requested: [foreign], narrow: true }, options)).toMatchObject(
      refused('task_scope', 'task'),
    );
  });

  it('that cannot be read, or asks for nothing, is refused by its index', () => {
    const empty = order(500, { constraints: { amount: { in: [] } } });
    for (const bad of [empty, { actions: ['a'] } as unknown as PermissionJson]) {
      expect(ask({ task, requested: [order(), bad] }, options)).toMatchObject(
        refused('request_malformed', undefined, { refused: { permission: 1 } }),
      );
    }
  });

  it('of an argument that only the caller may see does not hear a bound', () => {
    const secret = actor([
      {
        ...(everything[0] as PermissionJson),
        constraints: { amount: { max: 31_337, optional: true } },
      },
    ]);
    const wide = order(40_000);
    const answer = ask(
      { task: { slots: { ...buy, ceiling: 50_000 } }, requested: [wide] },
      { ...options, actors: [secret] },
    );
    expect(answer).toMatchObject({
      dimension: 'agent',
      refused: { permission: 0, path: 'amount' },
    });
    expect(JSON.stringify(answer)).not.toContain('31337');
  });
});

describe('guardrails at minting', () => {
  const options = { taskType: purchase };
  const task = { slots: buy };
  const checks = (policies: string, more: FactsOptions = {}) =>
    ask({ task, policies }, { ...options, ...more }).permissions.map((permission) => [
      permission.actions.join(),
      permission.check ?? 'local',
    ]);

  it('that read arguments or the time leave the permission to be asked online', () => {
    for (const condition of [
      'context.args has amount && context.args.amount.greaterThan(decimal("1.0"))',
      'context.now > datetime("2030-01-01")',
      'context.dimensions.agent',
      'context has args',
    ]) {
      const policies = `@id("p") forbid (principal, action == Action::"orders.create", resource) when { ${condition} };`;
      expect(checks(policies), condition).toEqual([
        ['suppliers.read', 'local'],
        ['orders.create', 'online'],
      ]);
    }
  });

  it('that read fixed facts alone are decided, and then forget or forbid', () => {
    const policies = `@id("interns") forbid (principal, action == Action::"orders.create", resource)
      when { context.user in Group::"interns" };`;
    expect(checks(policies)).toEqual([
      ['suppliers.read', 'local'],
      ['orders.create', 'local'],
    ]);
    expect(checks(policies, { user: userBody('alice', { groups: ['interns'] }) })).toEqual([
      ['suppliers.read', 'local'],
    ]);
  });

  it('that forbid all of a request refuse it by index, with the policy named for the record', () => {
    const policies = '@id("stop") forbid (principal, action == Action::"orders.create", resource);';
    expect(ask({ task, policies, requested: [order()] }, options)).toMatchObject(
      refused('policy_forbid', 'policies', {
        refused: { permission: 0 },
        policies: ['stop'],
        dimensions: { agent: 'allow', user: 'allow', task: 'allow', policies: 'deny' },
      }),
    );
    const all = '@id("halt") forbid (principal, action, resource);';
    expect(ask({ task, policies: all }, options)).toMatchObject(
      refused('policy_forbid', 'policies', { policies: ['halt'] }),
    );
  });

  it('that cover a part, or look into a pattern, make it online', () => {
    const taskType = {
      ...summary,
      slots: {},
      permissions: [
        { actions: ['suppliers.read', 'contracts.read'], resources: ['erp/suppliers/*'], args: [] },
      ] as PermissionJson[],
    };
    const verdict = (policies: string) =>
      ask({ policies, task: { slots: {} } }, { taskType }).permissions[0]?.check ?? 'local';
    expect(
      verdict('@id("a") forbid (principal, action == Action::"contracts.read", resource);'),
    ).toBe('online');
    expect(
      verdict('@id("b") forbid (principal, action, resource == Resource::"erp/suppliers/S-1");'),
    ).toBe('online');
    expect(
      verdict(
        '@id("c") forbid (principal, action, resource) when { resource.path like "*secret*" };',
      ),
    ).toBe('online');
    expect(
      verdict('@id("d") forbid (principal, action, resource in Resource::"erp/orders");'),
    ).toBe('local');
    expect(verdict('@id("e") forbid (principal == Agent::"other", action, resource);')).toBe(
      'local',
    );
    expect(
      verdict(
        '@id("f") forbid (principal, action, resource in Resource::"erp/suppliers") when { context.client == "x" };',
      ),
    ).toBe('local');
    expect(
      ask(
        {
          policies: '@id("g") forbid (principal, action, resource in Resource::"erp/suppliers");',
          task: { slots: {} },
        },
        { taskType },
      ),
    ).toMatchObject(refused('policy_forbid', 'policies', { policies: ['g'] }));
  });

  it('that would fail at every call refuse the launch', () => {
    const policies = `@id("broken") forbid (principal, action, resource)
      when { principal.version + 9223372036854775807 > 0 };`;
    expect(ask({ task, policies }, options)).toMatchObject(
      refused('policy_error', 'policies', { policies: ['broken'] }),
    );
  });
});
