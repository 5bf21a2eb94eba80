import { type Operation, parseOperation, ScopeError } from '@remit/capability';
import type { PermissionJson, Reason, TaskTypeBody } from '@remit/contracts';
import type { Directory } from '@remit/service-kit';
import type { Guardrail, GuardrailSet } from '../cedar/guardrails.ts';
import { coverage } from '../cedar/head.ts';
import { actionGroups } from '../cedar/schema.ts';
import type { RegistryFacts } from '../decide/facts.ts';
import type { Resolver } from '../decide/resolve.ts';
import { PdpError } from '../errors.ts';
import { naming, namingTemplate } from './names.ts';

/** A guardrail that can have a say, and whether it always does. */
export type SayOf = { id: string; agent?: string; always: boolean; text: string };

export type UserCan = { id: string; roles: readonly string[]; permissions: PermissionJson[] };
export type AgentCan = {
  id: string;
  permissions: PermissionJson[];
  /** Task types that it may start and that can hold the operation. */
  tasks: { id: string; purpose: string; permissions: PermissionJson[] }[];
};

/** Who can do what: one list per dimension; only who stands in all of them can. */
export type WhoCan = {
  action: string;
  resource: string;
  registry_revision: number;
  policy_version: string;
  users: UserCan[];
  agents: AgentCan[];
  guardrails: SayOf[];
};

const USERS_AT_ONCE = 100;

/**
 * Who can do an action on a resource, with the right arguments: users by their entitlement, agents by
 * their envelope and the task types that they may start, and the guardrails that can have a say. Of
 * agents, those that are named: the registry is asked about each. Inactive ones can do nothing.
 * Rejects when the registry cannot be asked; throws PdpError `NOT_REPLAYABLE` for names that are none.
 */
export async function whoCan(
  deps: { directory: Directory; resolve: Resolver },
  tenant: string,
  set: GuardrailSet,
  asked: { action: string; resource: string; agents: readonly string[] },
): Promise<WhoCan> {
  const { action, resource } = readNames(asked);
  const users: UserCan[] = [];
  let revision = 0;
  for await (const id of usersOf(deps.directory, tenant)) {
    const facts = await deps.resolve({ tenant, actors: [], user: id });
    revision = facts.revision;
    const found = userCan(facts, action, resource);
    if (found) users.push(found);
  }
  const agents: AgentCan[] = [];
  for (const id of new Set(asked.agents)) {
    const found = await agentCan(deps, tenant, id, { action, resource });
    if (found) agents.push(found);
  }
  return {
    action,
    resource,
    registry_revision: revision,
    policy_version: set.version,
    users,
    agents,
    guardrails: guardrailsOn(set, action, resource),
  };
}

/** Guardrails whose head can match an action on a resource, whoever asks. */
export function guardrailsOn(set: GuardrailSet, action: string, resource: string): SayOf[] {
  return set.guardrails.flatMap((guardrail) => {
    const { head, id, text } = guardrail;
    const named = head.action.op === 'in' ? head.action.ids : [];
    const ofAction =
      head.action.op === 'any' ||
      (head.action.op === 'eq' && head.action.id === action) ||
      named.some((name) => name === action || actionGroups(action).includes(name));
    if (!ofAction || head.principal.op === 'never' || coverage(head, resource) === 'none')
      return [];
    const agent = head.principal.op === 'eq' ? { agent: head.principal.id } : {};
    return [{ id, ...agent, always: isUnconditional(guardrail, resource), text }];
  });
}

function isUnconditional({ head, text, asks }: Guardrail, resource: string): boolean {
  return (
    asks === undefined &&
    head.principal.op === 'any' &&
    coverage(head, resource) === 'all' &&
    !/\b(when|unless)\s*\{/.test(text)
  );
}

function userCan(facts: RegistryFacts, action: string, resource: string): UserCan | undefined {
  const { user, tenantActive } = facts;
  if (!tenantActive || !user?.active) return undefined;
  const permissions = user.entitlement.flatMap((one) => naming(one, action, resource));
  if (permissions.length === 0) return undefined;
  return { id: user.user.id, roles: user.roles, permissions };
}

async function agentCan(
  { resolve }: { resolve: Resolver },
  tenant: string,
  id: string,
  { action, resource }: { action: string; resource: string },
): Promise<AgentCan | undefined> {
  const facts = await resolve({ tenant, actors: [id] });
  const [actor] = facts.actors;
  if (!facts.tenantActive || !actor?.active) return undefined;
  const permissions = naming(actor.envelope, action, resource);
  if (permissions.length === 0) return undefined;
  const types = await taskTypesOf(resolve, tenant, actor.agent.task_types);
  return {
    id,
    permissions,
    tasks: types.flatMap((type) => {
      const found = namingTemplate(type, action, resource);
      return found.length > 0 ? [{ id: type.id, purpose: type.purpose, permissions: found }] : [];
    }),
  };
}

/** The task types of these names that the registry knows. */
export async function taskTypesOf(
  resolve: Resolver,
  tenant: string,
  names: readonly string[],
): Promise<TaskTypeBody[]> {
  const found = await Promise.all(
    names.map((taskType) => resolve({ tenant, actors: [], taskType })),
  );
  return found.flatMap(({ taskType }) => (taskType ? [taskType] : []));
}

async function* usersOf(directory: Directory, tenant: string): AsyncGenerator<string> {
  let after: string | undefined;
  for (;;) {
    const page = { limit: USERS_AT_ONCE, ...(after === undefined ? {} : { after }) };
    const { users = [] } = await directory.lookup(tenant, { actors: [], users: page });
    for (const { id } of users) yield id;
    if (users.length < USERS_AT_ONCE) return;
    after = users.at(-1)?.id;
  }
}

function readNames(asked: { action: string; resource: string }): Operation {
  try {
    return parseOperation({ action: asked.action, resource: asked.resource, args: {} });
  } catch (cause) {
    if (!(cause instanceof ScopeError)) throw cause;
    const reason: Reason = 'arguments_invalid';
    throw new PdpError('NOT_REPLAYABLE', 'action or resource is no name', { reason }, { cause });
  }
}
