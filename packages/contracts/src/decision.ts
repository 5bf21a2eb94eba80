import { type Static, Type } from 'typebox';
import { budgetDeclarations } from './budgets.ts';
import { obligations, signals } from './obligations.ts';
import { permissionsJson } from './registry.ts';
import { closed, count, oneOf, text } from './schema.ts';

export const dimension = oneOf('agent', 'user', 'task', 'policies');
export type Dimension = Static<typeof dimension>;

export const verdict = oneOf('allow', 'deny', 'not_evaluated');
/** One verdict per dimension; `policies` is Cedar's. */
export const dimensions = closed({
  agent: verdict,
  user: verdict,
  task: verdict,
  policies: verdict,
});
export type Dimensions = Static<typeof dimensions>;

/** Which part of the nearest permission refused; for the operator and the record, without values. */
export const missJson = closed({
  kind: oneOf('action', 'resource', 'args', 'constraint', 'empty'),
  path: Type.Optional(text()),
  test: Type.Optional(text(32)),
});
export type MissJson = Static<typeof missJson>;

const operation = closed({
  action: text(),
  resource: text(),
  args: Type.Record(Type.String(), Type.Unknown()),
});

export const evaluateRequest = closed({
  /** Origin first, current actor last. */
  actors: Type.Array(text(128), { minItems: 1, maxItems: 9 }),
  user: text(128),
  client: text(128),
  task: closed({ id: text(64), type: text(128) }),
  audience: text(2_048),
  /** The scope of token and links as the PEP verified it. */
  scope: permissionsJson,
  operation,
  /** The approval that the token was minted with. */
  approval: Type.Optional(text(64)),
  signals: Type.Optional(signals),
});
export type EvaluateRequest = Static<typeof evaluateRequest>;

export const evaluateResponse = closed({
  id: text(64),
  decision: oneOf('allow', 'deny'),
  reason: text(64),
  dimensions,
  miss: Type.Optional(missJson),
  policies: Type.Array(text(128), { maxItems: 64 }),
  /** On allow: what must be fulfilled, or it is a deny. On deny: what would change the answer. */
  obligations: Type.Optional(obligations),
  policy_version: text(128),
  registry_revision: count,
});
export type EvaluateResponse = Static<typeof evaluateResponse>;

/** Which of these tools may be offered: as `evaluate`, with the arguments unknown. */
export const filterRequest = closed({
  actors: Type.Array(text(128), { minItems: 1, maxItems: 9 }),
  user: text(128),
  client: text(128),
  task: closed({ id: text(64), type: text(128) }),
  audience: text(2_048),
  scope: permissionsJson,
  /** An action, and a resource that may be a pattern: the tool takes an id, say. */
  candidates: Type.Array(closed({ action: text(), resource: text() }), {
    minItems: 1,
    maxItems: 256,
  }),
});
export type FilterRequest = Static<typeof filterRequest>;

export const filterResponse = closed({
  id: text(64),
  /** One per candidate, in their order. */
  verdicts: Type.Array(
    closed({
      /** `never`: every call would be refused. `online`: the pdp is asked for each call. */
      offer: oneOf('never', 'online', 'local'),
      reason: text(64),
    }),
    { maxItems: 256 },
  ),
  policy_version: text(128),
  registry_revision: count,
});
export type FilterResponse = Static<typeof filterResponse>;

const slotValue = Type.Union([text(256), Type.Number()]);

export const mintRequest = closed({
  actors: Type.Array(text(128), { minItems: 1, maxItems: 9 }),
  user: text(128),
  client: text(128),
  audience: text(2_048),
  task: closed({
    id: text(64),
    type: text(128),
    slots: Type.Record(Type.String({ maxLength: 32 }), slotValue),
    /** The ceiling of a task that runs already; absent at launch. */
    ceiling: Type.Optional(permissionsJson),
  }),
  /** A list that the client wrote: part of the ceiling, admitted in full, refused, or narrowed. */
  requested: Type.Optional(permissionsJson),
  narrow: Type.Boolean(),
});
export type MintRequest = Static<typeof mintRequest>;

export const mintResponse = closed({
  id: text(64),
  decision: oneOf('allow', 'deny'),
  reason: text(64),
  dimension: Type.Optional(dimension),
  dimensions,
  /** On allow: what all three dimensions allow, with `check: "online"` where it must be asked again. */
  permissions: permissionsJson,
  /** On allow: the instance of the task type, which the issuer keeps as the task's ceiling. */
  ceiling: permissionsJson,
  task: Type.Optional(
    closed({
      purpose: text(),
      until_seconds: count,
      token_seconds: count,
      depth_max: count,
      single_use: Type.Boolean(),
      links: Type.Boolean(),
      may_act: Type.Optional(Type.Array(text(128), { maxItems: 16 })),
      budgets: Type.Optional(budgetDeclarations),
    }),
  ),
  /** On deny: the refused part of the caller's own request, and the argument's path. */
  refused: Type.Optional(
    closed({
      permission: Type.Optional(count),
      slot: Type.Optional(text(32)),
      path: Type.Optional(text()),
    }),
  ),
  miss: Type.Optional(missJson),
  policies: Type.Array(text(128), { maxItems: 64 }),
  policy_version: text(128),
  registry_revision: count,
});
export type MintResponse = Static<typeof mintResponse>;

/** What a policy event says: a tenant's active version from `seq` of the pdp's outbox on. */
export const policyEvent = closed({
  seq: count,
  version: text(128),
  number: count,
  change: oneOf('activated', 'rolled_back'),
});
export type PolicyEvent = Static<typeof policyEvent>;
