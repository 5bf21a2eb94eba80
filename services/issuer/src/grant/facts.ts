import type { LookupResponse } from '@remit/contracts';
import type { Directory } from '@remit/service-kit';
import type { RegisteredClient } from '../client-auth/methods.ts';
import { IssuerError } from '../error.ts';
import { invalidTarget } from './form.ts';

/** What the registry says about a launch, from one snapshot of its database. */
export type LaunchFacts = {
  readonly client: RegisteredClient;
  readonly user: string;
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
  const found = await directory.lookup(tenant, { actors: [clientId] });
  return readClient(directory, tenant, found);
}

/**
 * Looks up everything that a launch rests on, after the head of the revocations was read: what
 * changes from here on is a revocation or a recheck that the token is older than.
 * Checks that (iss, sub) is one active user, that the agent may start the task type, and that the
 * target is the audience of a tool. Does not check the agent's status, its launchers or the decision.
 * Throws IssuerError `SUBJECT_TOKEN_INVALID`, `DETAILS_REFUSED`, `TARGET_INVALID`,
 * `CLIENT_UNAUTHORIZED`, `TENANT_UNKNOWN` or `SERVICE_UNAVAILABLE`.
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
    task_type: taskType,
    audience: resource,
  });
  const client = await readClient(directory, tenant, found);
  if (!client) throw notStarted('The client is not registered any more.', 'agent_inactive');
  if (!found.user) throw noUser('user_unknown');
  if (found.user.status !== 'active') throw noUser('user_inactive');
  if (!client.agent.task_types.includes(taskType) || !found.task_type) {
    throw new IssuerError('DETAILS_REFUSED', 'The client may not start this task type.', {
      reason: 'task_type_not_allowed',
      dimension: 'task',
    });
  }
  if (!found.tool) throw invalidTarget('The target is unknown.');
  return { client, user: found.user.id };
}

async function readClient(
  directory: Directory,
  tenant: string,
  found: LookupResponse,
): Promise<RegisteredClient | undefined> {
  const [actor] = found.actors;
  if (!actor || found.tenant.status !== 'active') return undefined;
  const [agent, tenantBody] = await Promise.all([
    directory.body(tenant, actor.body, 'agent'),
    directory.body(tenant, found.tenant.body, 'tenant'),
  ]);
  return { agent, tenant: tenantBody, active: actor.status === 'active' };
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
