import { type Static, Type } from 'typebox';
import { budgetDeclarations } from './budgets.ts';
import { closed, count, oneOf, text } from './schema.ts';
import { cloudEvent } from './signed.ts';

const id = text(128);
const digest = text(64);
const attribute = Type.Union([Type.String({ maxLength: 512 }), Type.Boolean(), Type.Integer()]);
const attributes = Type.Record(Type.String({ maxLength: 64 }), attribute);

/** A permission on the wire. Its rules are those of `capability/scope`, which reads it. */
export const permissionJson = Type.Unsafe<PermissionJson>({ type: 'object' });
export type PermissionJson = {
  actions: string[];
  resources: string[];
  args: 'any' | string[];
  constraints?: Record<string, Record<string, unknown>>;
  check?: 'online';
};
export const permissionsJson = Type.Array(permissionJson, { maxItems: 64 });

/** A public key as a JWK. Closed, so that a private member is refused. */
export const publicJwk = closed({
  kty: oneOf('AKP', 'OKP', 'EC'),
  alg: Type.Optional(text(32)),
  crv: Type.Optional(text(32)),
  x: Type.Optional(text(256)),
  y: Type.Optional(text(256)),
  pub: Type.Optional(text(4_096)),
  kid: Type.Optional(text(128)),
  use: Type.Optional(Type.Literal('sig')),
});
export type PublicJwk = Static<typeof publicJwk>;

export const tenantBody = closed({
  kind: Type.Literal('tenant'),
  id,
  idps: Type.Array(closed({ issuer: text(2_048) }), { maxItems: 8 }),
  /** Role of an administrator → groups of the registry that have it. */
  admin_groups: closed({
    'remit-admin': Type.Optional(Type.Array(id, { maxItems: 64 })),
    'remit-auditor': Type.Optional(Type.Array(id, { maxItems: 64 })),
  }),
});
export type TenantBody = Static<typeof tenantBody>;

/** An agent is one OAuth client: `client_id` is its id. */
export const agentBody = closed({
  kind: Type.Literal('agent'),
  id,
  version: count,
  owner: text(),
  keys: Type.Array(publicJwk, { minItems: 1, maxItems: 8 }),
  /**
   * Keys that this agent's tokens are bound to, where they are known beforehand: with one of them it
   * can be named by a task type's `may_act`. They authenticate nobody.
   */
  proof_keys: Type.Optional(Type.Array(publicJwk, { minItems: 1, maxItems: 8 })),
  /** Values of `aud` or `azp` of ID tokens that this agent may present. */
  launchers: Type.Array(id, { maxItems: 16 }),
  task_types: Type.Array(id, { maxItems: 256 }),
  /** Tokens without `cnf` may be minted for this agent. */
  bearer: Type.Boolean(),
  /** May launch a task from a free list of permissions. */
  free_tasks: Type.Boolean(),
  /** May receive a delegation that gives nothing up. */
  relay: Type.Boolean(),
  signing_alg: oneOf('ML-DSA-65', 'ML-DSA-44', 'Ed25519'),
  attributes,
});
export type AgentBody = Static<typeof agentBody>;

/** `jws` is signed by the registry's envelope key; its payload is {@link envelopePayload}. */
export const envelopeBody = closed({ kind: Type.Literal('envelope'), jws: text(65_536) });
export type EnvelopeBody = Static<typeof envelopeBody>;
export const envelopePayload = closed({
  tenant: id,
  agent: id,
  version: count,
  permissions: permissionsJson,
});
export type EnvelopePayload = Static<typeof envelopePayload>;

export const roleBody = closed({ kind: Type.Literal('role'), id, permissions: permissionsJson });
export type RoleBody = Static<typeof roleBody>;

export const userBody = closed({
  kind: Type.Literal('user'),
  id,
  groups: Type.Array(id, { maxItems: 256 }),
  attributes,
  /** Direct grants, beside what roles give. */
  grants: permissionsJson,
});
export type UserBody = Static<typeof userBody>;

/** One typed slot: one whole segment of a resource or one constraint value, never a pattern. */
export const slotSchema = Type.Union([
  closed({ type: Type.Literal('id') }),
  closed({
    type: Type.Literal('number'),
    min: Type.Optional(Type.Number()),
    max: Type.Optional(Type.Number()),
  }),
  closed({
    type: Type.Literal('enum'),
    values: Type.Array(text(128), { minItems: 1, maxItems: 64 }),
  }),
]);
export type Slot = Static<typeof slotSchema>;

/** `{name}` as one whole resource segment, or as one whole constraint value, stands for a slot. */
export const taskTypeBody = closed({
  kind: Type.Literal('task-type'),
  id,
  purpose: text(),
  slots: Type.Record(Type.String({ pattern: '^[a-z][a-z0-9_]{0,31}$' }), slotSchema),
  permissions: permissionsJson,
  /** Seconds from launch in which first tokens of the task may be renewed. */
  until_seconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
  /** Lifetime of one token, seconds; 300 by default, 900 at most. */
  token_seconds: Type.Integer({ minimum: 1, maximum: 900 }),
  depth_max: Type.Integer({ minimum: 0, maximum: 8 }),
  single_use: Type.Boolean(),
  links: Type.Boolean(),
  /** The agents that tokens of the task may be handed to; absent: any agent, by the issuer alone. */
  may_act: Type.Optional(Type.Array(id, { maxItems: 16, uniqueItems: true })),
  /** What calls of its tokens may spend together; absent: nothing is counted. */
  budgets: Type.Optional(budgetDeclarations),
});
export type TaskTypeBody = Static<typeof taskTypeBody>;

/**
 * The type of a task that was started from a free list of permissions, by an agent with `free_tasks`.
 * No task type of the registry can be called so.
 */
export const FREE_TASK_TYPE = 'remit:free';

/** How a guardrail reads an argument: an integer, an exact decimal, text, a truth value, a set of texts. */
export const argType = oneOf('long', 'decimal', 'string', 'boolean', 'strings');
export type ArgType = Static<typeof argType>;

export const toolBody = closed({
  kind: Type.Literal('tool'),
  id,
  audience: text(2_048),
  actions: Type.Array(id, { maxItems: 256 }),
  /** Keys with which the tool authenticates at the issuer, under its audience, to introspect tokens. */
  keys: Type.Optional(Type.Array(publicJwk, { minItems: 1, maxItems: 8 })),
  /** Action → path of an argument → type: what guardrails may read. Others are checked by scopes alone. */
  args: Type.Optional(
    Type.Record(text(128), Type.Record(text(256), argType, { maxProperties: 64 })),
  ),
  /**
   * Resources of the tool that somebody wrote down: patterns, each with the classes of its data, and
   * literal names, which a search can find.
   */
  resources: Type.Optional(
    Type.Array(
      closed({ resource: text(), classes: Type.Optional(Type.Array(text(64), { maxItems: 16 })) }),
      { maxItems: 512 },
    ),
  ),
});
export type ToolBody = Static<typeof toolBody>;

export const registryBody = Type.Union([
  tenantBody,
  agentBody,
  envelopeBody,
  roleBody,
  userBody,
  taskTypeBody,
  toolBody,
]);
export type RegistryBody = Static<typeof registryBody>;
export type RegistryBodyKind = RegistryBody['kind'];

/**
 * The one look-up of a decision: everything in one database snapshot. Statuses are never cached;
 * bodies are fetched by digest and kept for ever.
 */
export const lookupRequest = closed({
  actors: Type.Array(id, { maxItems: 9 }),
  user: Type.Optional(Type.Union([closed({ id }), closed({ iss: text(2_048), sub: text() })])),
  task_type: Type.Optional(id),
  audience: Type.Optional(text(2_048)),
  /** Also all tools of the tenant: the pdp makes the policies' schema from them. */
  tools: Type.Optional(Type.Literal(true)),
  /** Also a page of the tenant's users, by id, those after one: for questions about everybody. */
  users: Type.Optional(
    closed({
      after: Type.Optional(id),
      limit: Type.Integer({ minimum: 1, maximum: 100 }),
    }),
  ),
});
export type LookupRequest = Static<typeof lookupRequest>;
const status = oneOf('active', 'inactive');
const foundUser = closed({ id, status, body: digest, roles: Type.Array(digest) });
export const lookupResponse = closed({
  revision: count,
  tenant: closed({ status, body: digest }),
  /** Only those that exist, in the order asked. */
  actors: Type.Array(closed({ id, status, body: digest, envelope: digest })),
  user: Type.Optional(foundUser),
  task_type: Type.Optional(closed({ id, body: digest })),
  tool: Type.Optional(closed({ id, body: digest })),
  /** Where `tools` was asked for. */
  tools: Type.Optional(Type.Array(closed({ id, body: digest }), { maxItems: 1_024 })),
  /** Where `users` was asked for. Fewer than the limit: there are no more. */
  users: Type.Optional(Type.Array(foundUser, { maxItems: 100 })),
});
export type LookupResponse = Static<typeof lookupResponse>;

export const bodyRequest = closed({ digest });
/** `text` is the body's canonical JSON; the asker compares its SHA-256 with the digest. */
export const bodyResponse = closed({ digest, text: Type.String({ maxLength: 262_144 }) });

/** What a registry event says: which entity changed at which revision, and what that takes away. */
export const registryEvent = closed({
  seq: count,
  revision: count,
  entity: oneOf('agent', 'client', 'role', 'task-type', 'tenant', 'tool', 'user'),
  id,
  change: oneOf('created', 'changed', 'activated', 'deactivated', 'removed'),
});
export type RegistryEvent = Static<typeof registryEvent>;

/**
 * What travels on `remit.registry.<tenant>.<entity>`, signed; its name is `registry.changed`.
 * `subject` is the tenant, inside the signature: a receiver compares it with the one it came for.
 */
export const registryChanged = cloudEvent(registryEvent);
