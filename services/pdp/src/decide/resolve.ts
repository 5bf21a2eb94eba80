import { BusError, type Verifier } from '@remit/bus';
import type { Scope } from '@remit/capability';
import {
  type AgentBody,
  type EnvelopeBody,
  FREE_TASK_TYPE,
  type LookupResponse,
  type RoleBody,
  type UserBody,
} from '@remit/contracts';
import { type Directory, type Logger, openEnvelope, ServiceError } from '@remit/service-kit';
import { PdpError } from '../errors.ts';
import { type ActorFacts, type RegistryFacts, registryScope, type UserFacts } from './facts.ts';
import { freeTask } from './free-task.ts';

/** Whom and what a decision is about. A user or task type that is left out is not there. */
export type Parties = {
  tenant: string;
  actors: readonly string[];
  user?: string | undefined;
  taskType?: string | undefined;
  audience?: string | undefined;
};

export type Resolver = (parties: Parties) => Promise<RegistryFacts>;

const NOTHING: Scope = registryScope([]);

/**
 * Asks the registry once per decision; bodies come by digest and are kept, statuses never. An envelope
 * counts only when the registry's envelope key signed it for this tenant, agent and version; one that
 * does not, and any scope that cannot be read, admits nothing and is logged.
 * Rejects when the registry cannot be asked or its answer is not believed: then nothing is decided.
 */
export function createResolver(options: {
  directory: Directory;
  envelopeVerifier: Verifier;
  log: Logger;
  onBadData?: () => void;
}): Resolver {
  const { directory, envelopeVerifier, log, onBadData = () => undefined } = options;
  // By the frozen body that the directory keeps: gone when it is.
  const envelopes = new WeakMap<EnvelopeBody, { tenant: string; agent: AgentBody; scope: Scope }>();
  const scopes = new WeakMap<RoleBody | UserBody, Scope>();

  function readOrNothing(what: string, id: string, read: () => Scope): Scope {
    try {
      return read();
    } catch (error) {
      const expected =
        error instanceof PdpError || error instanceof ServiceError || error instanceof BusError;
      if (!expected) throw error;
      log.error({ err: error, what, id }, 'a body of the registry is not usable');
      onBadData();
      return NOTHING;
    }
  }

  function envelopeOf(tenant: string, agent: AgentBody, body: EnvelopeBody): Scope {
    const known = envelopes.get(body);
    if (known && known.tenant === tenant && known.agent === agent) return known.scope;
    const made = readOrNothing('envelope', agent.id, () => {
      const payload = openEnvelope(envelopeVerifier, body, { tenant, agent: agent.id });
      if (payload.version !== agent.version)
        throw new PdpError('ENVELOPE_INVALID', 'an envelope is of another version of its agent');
      return registryScope(payload.permissions);
    });
    envelopes.set(body, { tenant, agent, scope: made });
    return made;
  }

  function scopeOf(body: RoleBody | UserBody): Scope {
    const known = scopes.get(body);
    if (known) return known;
    const permissions = body.kind === 'role' ? body.permissions : body.grants;
    const made = readOrNothing(body.kind, body.id, () => registryScope(permissions));
    scopes.set(body, made);
    return made;
  }

  async function actorFacts(
    tenant: string,
    found: LookupResponse['actors'][number] | undefined,
  ): Promise<ActorFacts | undefined> {
    if (!found) return undefined;
    const [agent, envelope] = await Promise.all([
      directory.body(tenant, found.body, 'agent'),
      directory.body(tenant, found.envelope, 'envelope'),
    ]);
    if (agent.id !== found.id) return undefined;
    return {
      active: found.status === 'active',
      agent,
      envelope: envelopeOf(tenant, agent, envelope),
    };
  }

  async function userFacts(
    tenant: string,
    found: LookupResponse['user'],
  ): Promise<UserFacts | undefined> {
    if (!found) return undefined;
    const [user, ...roles] = await Promise.all([
      directory.body(tenant, found.body, 'user'),
      ...found.roles.map((digest) => directory.body(tenant, digest, 'role')),
    ]);
    if (user.id !== found.id) return undefined;
    return {
      active: found.status === 'active',
      user,
      roles: roles.map((role) => role.id),
      entitlement: [...roles, user].map(scopeOf),
    };
  }

  return async ({ tenant, actors, user, taskType, audience }) => {
    const answer = await directory.lookup(tenant, {
      actors: [...new Set(actors)],
      ...(user === undefined ? {} : { user: { id: user } }),
      ...(taskType === undefined || taskType === FREE_TASK_TYPE ? {} : { task_type: taskType }),
      ...(audience === undefined ? {} : { audience }),
    });
    const byId = new Map(answer.actors.map((found) => [found.id, found]));
    const [actorList, userFound, type, tool] = await Promise.all([
      Promise.all(actors.map((id) => actorFacts(tenant, byId.get(id)))),
      answer.user?.id === user ? userFacts(tenant, answer.user) : undefined,
      answer.task_type && directory.body(tenant, answer.task_type.body, 'task-type'),
      answer.tool && directory.body(tenant, answer.tool.body, 'tool'),
    ]);
    return {
      revision: answer.revision,
      tenantActive: answer.tenant.status === 'active',
      actors: actorList,
      user: userFound,
      taskType: type?.id === taskType ? type : freeTask(taskType, actorList[0]?.agent),
      tool: tool?.audience === audience ? tool : undefined,
    };
  };
}
