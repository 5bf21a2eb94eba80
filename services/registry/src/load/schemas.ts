import {
  agentBody,
  closed,
  permissionsJson,
  publicJwk,
  roleBody,
  taskTypeBody,
  tenantBody,
  text,
  toolBody,
  userBody,
} from '@remit/contracts';
import { type Static, Type } from 'typebox';

/** A name in the folder: what may stand in scopes, records and policies without quoting. */
const name = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$' });
const names = Type.Array(name, { maxItems: 256, uniqueItems: true });

const agent = agentBody.properties;
const task = taskTypeBody.properties;

/** `tenant.yaml` */
export const tenantFile = closed({
  id: name,
  idps: tenantBody.properties.idps,
  admin_groups: tenantBody.properties.admin_groups,
});
export type TenantFile = Static<typeof tenantFile>;

/** `agents/<id>.yaml`. Keys are given in place or as a file of public JWKs. */
export const agentFile = closed({
  id: name,
  owner: agent.owner,
  keys: Type.Optional(Type.Array(publicJwk, { minItems: 1, maxItems: 8 })),
  keys_file: Type.Optional(text(4_096)),
  proof_keys: agent.proof_keys,
  proof_keys_file: Type.Optional(text(4_096)),
  launchers: Type.Optional(agent.launchers),
  task_types: Type.Optional(names),
  bearer: Type.Optional(agent.bearer),
  free_tasks: Type.Optional(agent.free_tasks),
  relay: Type.Optional(agent.relay),
  signing_alg: Type.Optional(agent.signing_alg),
  attributes: Type.Optional(agent.attributes),
  envelope: permissionsJson,
});
export type AgentFile = Static<typeof agentFile>;

/** `roles/<id>.yaml` */
export const roleFile = closed({ id: name, permissions: roleBody.properties.permissions });
export type RoleFile = Static<typeof roleFile>;

/** `users.yaml` */
export const usersFile = Type.Array(
  closed({
    id: name,
    identities: Type.Array(closed({ issuer: text(2_048), subject: text() }), { maxItems: 8 }),
    groups: Type.Optional(names),
    roles: Type.Optional(names),
    attributes: Type.Optional(userBody.properties.attributes),
    grants: Type.Optional(permissionsJson),
  }),
  { maxItems: 10_000 },
);
export type UserEntry = Static<typeof usersFile>[number];

/** `groups.yaml`: the roles that members of a group have. */
export const groupsFile = Type.Array(closed({ id: name, roles: names }), { maxItems: 1_024 });
export type GroupEntry = Static<typeof groupsFile>[number];

/** `tools.yaml` */
export const toolsFile = Type.Array(
  closed({
    id: name,
    audience: toolBody.properties.audience,
    actions: names,
    keys: toolBody.properties.keys,
    keys_file: Type.Optional(text(4_096)),
    args: toolBody.properties.args,
    resources: toolBody.properties.resources,
  }),
  { maxItems: 1_024 },
);
export type ToolFile = Static<typeof toolsFile>[number];

/** `task-types/<id>.yaml` */
export const taskTypeFile = closed({
  id: name,
  purpose: task.purpose,
  slots: task.slots,
  permissions: task.permissions,
  until_seconds: task.until_seconds,
  token_seconds: Type.Optional(task.token_seconds),
  depth_max: Type.Optional(task.depth_max),
  single_use: Type.Optional(task.single_use),
  links: Type.Optional(task.links),
  may_act: Type.Optional(Type.Array(name, { maxItems: 16, uniqueItems: true })),
  budgets: task.budgets,
});
export type TaskTypeFile = Static<typeof taskTypeFile>;
