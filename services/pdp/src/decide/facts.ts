import {
  type Miss,
  meet,
  type Operation,
  permits,
  type Scope,
  ScopeError,
  scope,
} from '@remit/capability';
import type { AgentBody, MissJson, TaskTypeBody, ToolBody, UserBody } from '@remit/contracts';
import type { AgentFact, Circumstances } from '../cedar/request.ts';
import { PdpError } from '../errors.ts';

export type ActorFacts = { active: boolean; agent: AgentBody; envelope: Scope };

export type UserFacts = {
  active: boolean;
  user: UserBody;
  /** Ids of the roles that the user has now, through groups or directly. */
  roles: readonly string[];
  /** One scope per role, and one for direct grants; the entitlement is their union. */
  entitlement: readonly Scope[];
};

/** What the registry said for one decision, from one snapshot. */
export type RegistryFacts = {
  revision: number;
  tenantActive: boolean;
  /** In the order of the request's actors; undefined where the registry knows none. */
  actors: readonly (ActorFacts | undefined)[];
  user: UserFacts | undefined;
  taskType: TaskTypeBody | undefined;
  tool: ToolBody | undefined;
};

/**
 * A scope that the registry holds. Throws PdpError `REGISTRY_DATA_INVALID` where it is none, so that
 * what cannot be read denies.
 */
export function registryScope(permissions: unknown): Scope {
  try {
    return scope(permissions);
  } catch (cause) {
    if (!(cause instanceof ScopeError)) throw cause;
    throw new PdpError(
      'REGISTRY_DATA_INVALID',
      'a scope of the registry cannot be read',
      {},
      { cause },
    );
  }
}

/** The facts as Cedar is given them. Call only when actors, user and tool are there. */
export function circumstances(
  facts: { actors: readonly ActorFacts[]; user: UserFacts; tool: ToolBody },
  request: { tenant: string; client: string; audience: string },
  task: { id: string; type: string; purpose: string },
): Circumstances {
  const agents = facts.actors.map(({ agent }) => ({
    id: agent.id,
    owner: agent.owner,
    version: agent.version,
    attributes: agent.attributes,
  }));
  const { user, roles } = facts.user;
  return {
    tenant: request.tenant,
    client: request.client,
    audience: request.audience,
    agents: agents as [AgentFact, ...AgentFact[]],
    user: { id: user.id, groups: user.groups, roles, attributes: user.attributes },
    task,
    tool: facts.tool,
  };
}

const NEARNESS = { action: 0, resource: 1, args: 2, constraint: 3 } as const;

/** Whether one of several scopes admits an operation; otherwise the nearest miss over all of them. */
export function anyPermits(scopes: readonly Scope[], operation: Operation): MissJson | undefined {
  let nearest: Miss | undefined;
  for (const one of scopes) {
    const answer = permits(one, operation);
    if (answer.ok) return undefined;
    if (!nearest || NEARNESS[answer.miss.kind] > NEARNESS[nearest.kind]) nearest = answer.miss;
  }
  return nearest ? missOf(nearest) : { kind: 'empty' };
}

/** Whether every one of several scopes admits an operation; otherwise the first miss. */
export function allPermit(scopes: readonly Scope[], operation: Operation): MissJson | undefined {
  for (const one of scopes) {
    const answer = permits(one, operation);
    if (!answer.ok) return missOf(answer.miss);
  }
  return undefined;
}

function missOf(miss: Miss): MissJson {
  if (miss.kind === 'args') return { kind: 'args', path: miss.path };
  if (miss.kind === 'constraint') return { kind: 'constraint', path: miss.path, test: miss.test };
  return { kind: miss.kind };
}

/** Thrown by {@link meetAll} and {@link unionOf}; a decision turns it into `scope_too_large`. */
export class TooLarge extends Error {}

/** What all of several scopes admit. */
export function meetAll(first: Scope, others: readonly Scope[]): Scope {
  let result = first;
  for (const other of others) {
    const met = meet(result, other);
    if (!met.ok) throw new TooLarge();
    result = met.scope;
  }
  return result;
}

/** What one of several scopes admits, as one scope. */
export function unionOf(scopes: readonly Scope[]): Scope {
  try {
    return scope(scopes.flatMap((one) => one.permissions));
  } catch (error) {
    if (error instanceof ScopeError && error.code === 'SCOPE_TOO_LARGE') throw new TooLarge();
    throw error;
  }
}
