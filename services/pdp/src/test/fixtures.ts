import { scope } from '@remit/capability';
import type { AgentBody, PermissionJson, TaskTypeBody, ToolBody, UserBody } from '@remit/contracts';
import { createEngine, type Engine } from '../cedar/engine.ts';
import { type GuardrailSet, readGuardrails } from '../cedar/guardrails.ts';
import { cedarSchema } from '../cedar/schema.ts';
import type { DecideDeps } from '../decide/evaluate.ts';
import type { ActorFacts, RegistryFacts } from '../decide/facts.ts';

// What the tests of this service are written about: one tenant's buying and paying.

export const AUDIENCE = 'https://erp.example';
export const NOW_MS = Date.UTC(2026, 10, 22, 10, 0, 0);

export const erp: ToolBody = {
  kind: 'tool',
  id: 'erp',
  audience: AUDIENCE,
  actions: [
    'suppliers.read',
    'suppliers.export',
    'suppliers.risk.read',
    'contracts.read',
    'orders.create',
    'payments.release',
  ],
  args: {
    'orders.create': {
      amount: 'decimal',
      currency: 'string',
      supplier: 'string',
      'ship.to': 'string',
    },
    'payments.release': { amount: 'decimal', urgent: 'boolean', count: 'long', tags: 'strings' },
  },
};

export const everything: PermissionJson[] = [{ actions: ['**'], resources: ['**'], args: 'any' }];

export const summary: TaskTypeBody = {
  kind: 'task-type',
  id: 'supplier-risk-summary',
  purpose: 'Summarise the risk of one supplier',
  slots: { supplier: { type: 'id' } },
  permissions: [
    {
      actions: ['suppliers.read', 'suppliers.risk.read'],
      resources: ['erp/suppliers/{supplier}'],
      args: [],
    },
  ],
  until_seconds: 3_600,
  token_seconds: 300,
  depth_max: 3,
  single_use: false,
  links: false,
};

export const purchase: TaskTypeBody = {
  ...summary,
  id: 'raise-purchase-order',
  purpose: 'Raise one purchase order',
  slots: {
    supplier: { type: 'id' },
    ceiling: { type: 'number', min: 1, max: 50_000 },
    currency: { type: 'enum', values: ['EUR', 'USD'] },
  },
  permissions: [
    { actions: ['suppliers.read'], resources: ['erp/suppliers/{supplier}'], args: [] },
    {
      actions: ['orders.create'],
      resources: ['erp/orders'],
      args: ['supplier', 'amount', 'currency', 'item'],
      constraints: {
        supplier: { eq: '{supplier}' },
        amount: { min: 0, max: '{ceiling}' },
        currency: { in: ['{currency}'] },
        item: { maxLength: 200 },
      },
    },
  ],
};

export function agentBody(id = 'procurement-agent', more: Partial<AgentBody> = {}): AgentBody {
  return {
    kind: 'agent',
    id,
    version: 1,
    owner: 'team-procurement',
    keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'x' }],
    launchers: ['portal'],
    task_types: [summary.id, purchase.id],
    bearer: false,
    free_tasks: false,
    relay: false,
    signing_alg: 'ML-DSA-65',
    attributes: { model: 'm-1', tier: 2 },
    ...more,
  };
}

export function userBody(id = 'alice', more: Partial<UserBody> = {}): UserBody {
  return {
    kind: 'user',
    id,
    groups: ['treasury'],
    attributes: { department: 'treasury' },
    grants: [],
    ...more,
  };
}

export function actor(
  envelope: readonly PermissionJson[] = everything,
  body: AgentBody = agentBody(),
  active = true,
): ActorFacts {
  return { active, agent: body, envelope: scope(envelope) };
}

export type FactsOptions = {
  actors?: RegistryFacts['actors'];
  entitlement?: readonly (readonly PermissionJson[])[];
  user?: UserBody | null;
  userActive?: boolean;
  taskType?: TaskTypeBody | null;
  tool?: ToolBody | null;
  tenantActive?: boolean;
};

/** Everything allowed to everybody, unless a test says otherwise. `null` is what does not exist. */
export function factsOf(options: FactsOptions = {}): RegistryFacts {
  const user = options.user === undefined ? userBody() : options.user;
  return {
    revision: 7,
    tenantActive: options.tenantActive ?? true,
    actors: options.actors ?? [actor()],
    user: user
      ? {
          active: options.userActive ?? true,
          user,
          roles: ['buyer'],
          entitlement: (options.entitlement ?? [everything]).map((part) => scope(part)),
        }
      : undefined,
    taskType: options.taskType === undefined ? summary : (options.taskType ?? undefined),
    tool: options.tool === undefined ? erp : (options.tool ?? undefined),
  };
}

/** A set from Cedar text, validated as an upload would be. */
export function guardrails(text = '', version = `v:${text}`): GuardrailSet {
  return readGuardrails(version, text === '' ? {} : { 'test.cedar': text }, cedarSchema([erp]));
}

let engine: Engine | undefined;

export function testEngine(): Engine {
  engine ??= createEngine({ prefix: 'test', policySlots: 32, schemaSlots: 4 });
  return engine;
}

export function testDeps(more: Partial<DecideDeps> = {}): DecideDeps {
  return {
    engine: testEngine(),
    nowMs: () => NOW_MS,
    newId: () => '01900000-0000-7000-8000-000000000000',
    ...more,
  };
}

export const taskRef = { id: 'task_AAAAAAAAAAAAAAAAAAAAAA', type: summary.id };
