import { ScopeError, scope } from '@remit/capability';
import { type PermissionJson, type Slot } from '@remit/contracts';
import { checkBudgets } from './check-budgets.ts';
import type { AgentEntry, TenantFolder } from './read-folder.ts';
import type { TaskTypeFile } from './schemas.ts';
import { loadError } from './yaml-file.ts';

/**
 * Checks what one file alone cannot show: names that stand for something, ids and identities once
 * each, and every list of permissions by the rules of scopes. Throws RegistryError `LOAD_INVALID`.
 */
export function checkFolder(folder: TenantFolder): void {
  const tenant = folder.tenant.id;
  const issuers = folder.tenant.idps.map(({ issuer }) => issuer);
  unique(`${tenant}/tenant.yaml`, '/idps', issuers);
  const roles = new Set(folder.roles.map(({ id }) => id));
  const taskTypes = new Set(folder.taskTypes.map(({ id }) => id));

  for (const role of folder.roles) {
    readScope(`${tenant}/roles/${role.id}.yaml`, '/permissions', role.permissions);
  }
  for (const agent of folder.agents) {
    const file = `${tenant}/agents/${agent.id}.yaml`;
    readScope(file, '/envelope', agent.envelope);
    known(file, '/task_types', agent.task_types ?? [], taskTypes, 'task-types/');
  }
  const users = `${tenant}/users.yaml`;
  unique(
    users,
    '',
    folder.users.map(({ id }) => id),
  );
  unique(
    users,
    '/identities',
    folder.users.flatMap(({ identities }) =>
      identities.map(({ issuer, subject }) => `${issuer} ${subject}`),
    ),
  );
  for (const [i, user] of folder.users.entries()) {
    known(users, `/${i}/roles`, user.roles ?? [], roles, 'roles/');
    known(
      users,
      `/${i}/identities`,
      user.identities.map(({ issuer }) => issuer),
      new Set(issuers),
      'tenant.yaml',
    );
    readScope(users, `/${i}/grants`, user.grants ?? []);
  }
  const groups = `${tenant}/groups.yaml`;
  unique(
    groups,
    '',
    folder.groups.map(({ id }) => id),
  );
  for (const [i, group] of folder.groups.entries()) {
    known(groups, `/${i}/roles`, group.roles, roles, 'roles/');
  }
  unique(
    `${tenant}/tools.yaml`,
    '',
    folder.tools.map(({ id }) => id),
  );
  unique(
    `${tenant}/tools.yaml`,
    '/audience',
    folder.tools.map(({ audience }) => audience),
  );
  const agents = new Map(folder.agents.map((agent) => [agent.id, agent]));
  for (const taskType of folder.taskTypes) {
    checkTaskType(tenant, taskType);
    checkNamed(tenant, taskType, agents);
  }
  checkBudgets(tenant, folder.taskTypes);
}

function readScope(file: string, path: string, permissions: readonly PermissionJson[]): void {
  try {
    scope(permissions);
  } catch (error) {
    if (!(error instanceof ScopeError)) throw error;
    throw loadError(file, `${path} is not a scope: ${error.message}`);
  }
}

function unique(file: string, path: string, values: readonly string[]): void {
  const seen = new Set<string>();
  for (const value of values) {
    if (seen.has(value)) throw loadError(file, `${path || '/'} names ${value} twice`);
    seen.add(value);
  }
}

function known(
  file: string,
  path: string,
  values: readonly string[],
  all: ReadonlySet<string>,
  where: string,
): void {
  for (const value of values) {
    if (!all.has(value)) throw loadError(file, `${path} names ${value}, which is not in ${where}`);
  }
}

/** Who may be named next is known, and with which key: nothing else can be handed on to it. */
function checkNamed(
  tenant: string,
  taskType: TaskTypeFile,
  agents: ReadonlyMap<string, AgentEntry>,
): void {
  const file = `${tenant}/task-types/${taskType.id}.yaml`;
  known(file, '/may_act', taskType.may_act ?? [], new Set(agents.keys()), 'agents/');
  for (const id of taskType.may_act ?? []) {
    if (agents.get(id)?.proof_keys) continue;
    throw loadError(file, `/may_act names ${id}, which has no proof_keys`);
  }
}

const PLACEHOLDER = /\{([^{}]*)\}/g;
const WHOLE = /^\{([a-z][a-z0-9_]{0,31})\}$/;

/**
 * A task type is a scope with slots: `{name}` as one whole segment of a resource or as one whole
 * value of a constraint. Checked by filling every slot with a sample.
 */
function checkTaskType(tenant: string, taskType: TaskTypeFile): void {
  const file = `${tenant}/task-types/${taskType.id}.yaml`;
  const used = new Set<string>();
  const fill = (value: unknown, segments: boolean): unknown => {
    if (typeof value === 'string') return fillText(value, segments);
    if (Array.isArray(value)) return value.map((member) => fill(member, segments));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, member]) => [key, fill(member, segments)]),
    );
  };
  const fillText = (text: string, segments: boolean): unknown => {
    const parts = segments ? text.split('/') : [text];
    const filled = parts.map((part) => {
      const name = WHOLE.exec(part)?.[1];
      const slot = name === undefined ? undefined : taskType.slots[name];
      if (name !== undefined && slot) {
        used.add(name);
        return sample(slot);
      }
      const found = PLACEHOLDER.exec(part)?.[0];
      PLACEHOLDER.lastIndex = 0;
      if (!found) return part;
      const why = name === undefined ? 'is not one whole segment or value' : 'has no slot';
      throw loadError(file, `${found} in ${JSON.stringify(text)} ${why}`);
    });
    return segments ? filled.join('/') : filled[0];
  };
  const filled = taskType.permissions.map((permission) => ({
    ...permission,
    resources: fill(permission.resources, true) as string[],
    ...(permission.constraints === undefined
      ? {}
      : {
          constraints: fill(permission.constraints, false) as PermissionJson['constraints'] &
            object,
        }),
  }));
  readScope(file, '/permissions', filled);
  for (const name of Object.keys(taskType.slots)) {
    if (!used.has(name)) throw loadError(file, `/slots/${name} stands nowhere in the permissions`);
  }
}

/** A value that the slot admits. */
function sample(slot: Slot): number | string {
  if (slot.type === 'id') return 'sample';
  if (slot.type === 'enum') return slot.values[0] as string;
  return slot.max ?? slot.min ?? 0;
}
