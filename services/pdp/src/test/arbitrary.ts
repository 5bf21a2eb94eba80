import type { PermissionJson } from '@remit/contracts';
import fc from 'fast-check';

// Policies and scopes over a small world, so that they meet often.

export const AGENTS = ['procurement-agent', 'risk-analyst'];
export const ACTIONS = [
  'suppliers.read',
  'suppliers.risk.read',
  'orders.create',
  'payments.release',
];
export const RESOURCES = [
  'erp/suppliers/S-1',
  'erp/suppliers/S-2',
  'erp/suppliers',
  'erp/orders',
  'erp/orders/7',
  'crm/x',
];

const principalHead = fc.oneof(
  { weight: 3, arbitrary: fc.constant('principal') },
  fc.constantFrom(...AGENTS.map((id) => `principal == Agent::"${id}"`)),
  fc.constant('principal is Agent'),
);
const actionHead = fc.oneof(
  { weight: 2, arbitrary: fc.constant('action') },
  fc.constantFrom(...ACTIONS).map((id) => `action == Action::"${id}"`),
  fc.constantFrom(
    'action in Action::"suppliers.**"',
    'action in [Action::"orders.create", Action::"suppliers.risk.**"]',
    'action in [Action::"orders.**", Action::"orders.create"]',
  ),
);
const resourceHead = fc.oneof(
  { weight: 2, arbitrary: fc.constant('resource') },
  fc.constantFrom(...RESOURCES).map((id) => `resource == Resource::"${id}"`),
  fc
    .constantFrom('erp', 'erp/suppliers', 'erp/orders', 'crm')
    .map((id) => `resource in Resource::"${id}"`),
  fc.constantFrom('resource is Resource', 'resource is Resource in Resource::"erp"'),
);

/** Conditions that read fixed facts. */
const fixedAtom = fc.constantFrom(
  'context.user in Group::"treasury"',
  'context.user in Group::"interns"',
  'context.user in Role::"buyer"',
  'context.user.hasTag("department") && context.user.getTag("department") == "treasury"',
  'context.agents.contains(Agent::"risk-analyst")',
  'context.origin == Agent::"procurement-agent"',
  'context.origin == principal',
  'principal.owner == "team-procurement"',
  'principal.version < 2',
  'context.task.type like "supplier-*"',
  'context.tenant == "acme"',
  'action == Action::"orders.create"',
  'action in Action::"suppliers.**"',
  'context has user',
  'context.client == "nobody"',
);
/** Conditions that read what a token cannot fix, or only where the resource is literal. */
const movingAtom = fc.constantFrom(
  'resource.path like "*S-1"',
  'resource.segments has s2 && resource.segments.s2 like "S-*"',
  'resource == Resource::"erp/orders"',
  'resource in Resource::"erp/suppliers"',
  'context.now > datetime("2026-11-22T09:00:00Z")',
  'context.now > datetime("2027-01-01")',
  'context.dimensions.task',
  'context has approval',
  'context.risk has score && context.risk.score > 50',
  'context.network has ip && context.network.ip.isInRange(ip("10.0.0.0/8"))',
  'context.attested.resource.hasTag("status")',
  'resource.classes.contains("pii")',
  'context has args',
  'Resource::"erp/orders" == resource',
  '[resource].contains(Resource::"erp/suppliers/S-1")',
  '{r: resource}.r.system == "crm"',
);
const amountAtom = fc.constantFrom(
  'context.args has amount',
  'context.args has amount && context.args.amount.greaterThan(decimal("100.0"))',
);

const atom = fc.oneof(fixedAtom, movingAtom);
const body = fc.oneof(
  { weight: 2, arbitrary: atom },
  fc.tuple(atom, atom).map(([a, b]) => `(${a}) && (${b})`),
  fc.tuple(atom, atom).map(([a, b]) => `(${a}) || !(${b})`),
  fc.tuple(atom, atom, atom).map(([a, b, c]) => `if (${a}) then (${b}) else (${c})`),
);
const clause = fc
  .tuple(fc.constantFrom('when', 'unless'), body)
  .map(([kind, text]) => `${kind} { ${text} }`);

const general = fc
  .tuple(principalHead, actionHead, resourceHead, fc.array(clause, { maxLength: 2 }))
  .map(
    ([principal, action, resource, clauses]) =>
      `forbid (${principal}, ${action}, ${resource}) ${clauses.join(' ')};`,
  );
/** Arguments have types only under one action. */
const aboutAmount = fc
  .tuple(principalHead, resourceHead, amountAtom)
  .map(
    ([principal, resource, condition]) =>
      `forbid (${principal}, action == Action::"orders.create", ${resource}) when { ${condition} };`,
  );

/** A set of guardrails as Cedar text; most have a head that excludes something. */
export const policySet = (maxLength: number) =>
  fc
    .array(fc.oneof({ weight: 4, arbitrary: general }, aboutAmount), { maxLength })
    .map((policies) => policies.map((policy, i) => `@id("p${i}") ${policy}`).join('\n'));

export const operation = fc.record({
  action: fc.constantFrom(...ACTIONS),
  resource: fc.constantFrom(...RESOURCES),
  args: fc.oneof(fc.constant({}), fc.record({ amount: fc.constantFrom(1, 50.5, 100.0001, 5_000) })),
});

const pattern = (names: readonly string[], wide: readonly string[]) =>
  fc.oneof(
    fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 2 }),
    fc.constantFrom(...wide).map((one) => [one]),
  );

/** Wide ones are as likely as narrow ones, so that three of them often have something in common. */
export const permission: fc.Arbitrary<PermissionJson> = fc.record({
  actions: pattern([...ACTIONS, '*.read'], ['**', 'suppliers.**']),
  resources: pattern(
    [...RESOURCES, 'erp/suppliers/*', 'erp/*/S-*', '*/orders', 'erp/orders/**'],
    ['**', 'erp/**'],
  ),
  args: fc.constantFrom('any' as const, 'any' as const, 'any' as const, [] as string[], ['amount']),
});
