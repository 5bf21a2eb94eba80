import { FREE_TASK_TYPE, type LookupResponse } from '@remit/contracts';
import type { Directory } from '@remit/service-kit';
import type { RegisteredClient } from '../client-auth/methods.ts';
import { IssuerError } from '../error.ts';
import { invalidTarget } from './form.ts';

/** What the registry says about a launch, from one snapshot of its database. */
export type LaunchFacts = {
  readonly client: RegisteredClient;
  readonly user: { readonly id: string; readonly active: boolean };
  readonly taskTypeKnown: boolean;
  readonly targetKnown: boolean;
};

/**
 * Looks a client up by its id; undefined when the registry has no such agent or the tenant is not
 * active. Says nothing about who is calling. Throws IssuerError `TENANT_UNKNOWN` or
 * `SERVICE_UNAVAILABLE`.
 */
export async function lookUpClient(
  directory: Directory,
  tenant: string,
  clientId: string,
): Promise<RegisteredClient | undefined> {
  return (await lookUpAgents(directory, tenant, [clientId])).get(clientId);
}

/** As {@link lookUpClient}, several at once from one snapshot of the registry's database, by id. */
export async function lookUpAgents(
  directory: Directory,
  tenant: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, RegisteredClient>> {
  return readAgents(directory, tenant, await directory.lookup(tenant, { actors: [...ids] }));
}

/**
 * Looks up everything that a launch rests on, after the head of the revocations was read: what
 * changes from here on is a revocation or a recheck that the token is older than.
 * Checks that (iss, sub) is one user and the client an agent; {@link checkLaunch} judges the rest, once
 * the user is in the trail. Does not check the agent's status, its launchers or the decision.
 * Throws IssuerError `SUBJECT_TOKEN_INVALID`, `CLIENT_UNAUTHORIZED`, `TENANT_UNKNOWN` or
 * `SERVICE_UNAVAILABLE`.
 */
export async function lookUpLaunch(
  directory: Directory,
  tenant: string,
  asked: {
    clientId: string;
    user: { iss: string; sub: string };
    taskType: string;
    resource: string;
  },
): Promise<LaunchFacts> {
  const { clientId, user, taskType, resource } = asked;
  const found = await directory.lookup(tenant, {
    actors: [clientId],
    user: { iss: user.iss, sub: user.sub },
    ...(taskType === FREE_TASK_TYPE ? {} : { task_type: taskType }),
    audience: resource,
  });
  const client = (await readAgents(directory, tenant, found)).get(clientId);
  if (!client) throw notStarted('The client is not registered any more.', 'agent_inactive');
  if (!found.user) throw noUser('user_unknown');
  return {
    client,
    user: { id: found.user.id, active: found.user.status === 'active' },
    taskTypeKnown: found.task_type !== undefined,
    targetKnown: found.tool !== undefined,
  };
}

/**
 * Checks that the user is active, that the agent may start the task type, and that the target is the
 * audience of a tool. Throws IssuerError `SUBJECT_TOKEN_INVALID`, `DETAILS_REFUSED` or `TARGET_INVALID`.
 */
export function checkLaunch(facts: LaunchFacts, taskType: string): void {
  if (!facts.user.active) throw noUser('user_inactive');
  const { free_tasks: free, task_types: own } = facts.client.agent;
  const allowed =
    taskType === FREE_TASK_TYPE ? free : own.includes(taskType) && facts.taskTypeKnown;
  if (!allowed) {
    throw new IssuerError('DETAILS_REFUSED', 'The client may not start this task type.', {
      reason: 'task_type_not_allowed',
      dimension: 'task',
    });
  }
  if (!facts.targetKnown) throw invalidTarget('The target is unknown.');
}

async function readAgents(
  directory: Directory,
  tenant: string,
  found: LookupResponse,
): Promise<ReadonlyMap<string, RegisteredClient>> {
  const { actors, tenant: owner } = found;
  if (owner.status !== 'active' || actors.length === 0) return new Map();
  const [tenantBody, ...agents] = await Promise.all([
    directory.body(tenant, owner.body, 'tenant'),
    ...actors.map(async ({ id, status, body }) => {
      const agent = await directory.body(tenant, body, 'agent');
      return { id, agent, active: status === 'active' };
    }),
  ]);
  return new Map(
    agents.map(({ id, agent, active }) => [id, { agent, active, tenant: tenantBody }] as const),
  );
}

/** One sentence for both, so that a caller learns nothing about who is registered. */
function noUser(reason: 'user_inactive' | 'user_unknown'): IssuerError {
  return new IssuerError('SUBJECT_TOKEN_INVALID', 'The ID token names no active user.', {
    reason,
    dimension: 'user',
  });
}

function notStarted(message: string, reason: 'agent_inactive'): IssuerError {
  return new IssuerError('CLIENT_UNAUTHORIZED', message, { reason, dimension: 'agent' });
}
