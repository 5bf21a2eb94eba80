import { type Scope, ScopeError, scope, within } from '@remit/capability';
import type { PermissionJson } from '@remit/contracts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { meetAll, TooLarge, unionOf } from '../decide/facts.ts';
import type { Resolver } from '../decide/resolve.ts';
import { guardrailsOn, type SayOf, taskTypesOf } from './who-can.ts';

/** What an agent can do for a user: what each dimension gives, and what is left of them together. */
export type Can = {
  agent: { id: string; active: boolean; permissions: PermissionJson[] };
  user: { id: string; active: boolean; roles: readonly string[]; permissions: PermissionJson[] };
  tasks: { id: string; purpose: string; slots: readonly string[]; permissions: PermissionJson[] }[];
  /** What envelope and entitlement both admit; a task gives at most its part of it. */
  both: PermissionJson[];
  /** Permissions of one that the other takes away from whole or in part. */
  unused: { agent: PermissionJson[]; user: PermissionJson[] };
  /** Guardrails that can have a say in what both admit. */
  guardrails: Omit<SayOf, 'always'>[];
  registry_revision: number;
  policy_version: string;
};

/**
 * The permission audit of one agent for one user, in three dimensions. Someone who is not there or not
 * active has nothing. Rejects when the registry cannot be asked.
 */
export async function can(
  resolve: Resolver,
  tenant: string,
  set: GuardrailSet,
  asked: { agent: string; user: string },
): Promise<Can> {
  const facts = await resolve({ tenant, actors: [asked.agent], user: asked.user });
  const [actor] = facts.actors;
  const nothing = scope([]);
  const envelope = actor?.active && facts.tenantActive ? actor.envelope : nothing;
  const present = facts.user?.active && facts.tenantActive ? facts.user : undefined;
  const entitled = present ? orNothing(() => unionOf(present.entitlement)) : nothing;
  const both = orNothing(() => meetAll(envelope, [entitled]));
  const types = actor?.active ? await taskTypesOf(resolve, tenant, actor.agent.task_types) : [];
  return {
    agent: { id: asked.agent, active: actor?.active ?? false, permissions: json(envelope) },
    user: {
      id: asked.user,
      active: present !== undefined,
      roles: present?.roles ?? [],
      permissions: json(entitled),
    },
    tasks: types.map(({ id, purpose, slots, permissions }) => ({
      id,
      purpose,
      slots: Object.keys(slots),
      permissions,
    })),
    both: json(both),
    unused: { agent: notWithin(envelope, entitled), user: notWithin(entitled, envelope) },
    guardrails: sayOf(set, both, asked.agent),
    registry_revision: facts.revision,
    policy_version: set.version,
  };
}

function sayOf(set: GuardrailSet, both: Scope, agent: string): Can['guardrails'] {
  const found = new Map<string, Omit<SayOf, 'always'>>();
  for (const { actions, resources } of both.permissions) {
    for (const action of actions) {
      for (const resource of resources) {
        // Below a pattern of actions any guardrail may find one.
        const these = action.includes('*')
          ? set.guardrails.map(({ id, text }) => ({ id, text }))
          : guardrailsOn(set, action, resource);
        for (const { always: _always, ...one } of these as SayOf[])
          if (one.agent === undefined || one.agent === agent) found.set(one.id, one);
      }
    }
  }
  return [...found.values()];
}

function notWithin(these: Scope, those: Scope): PermissionJson[] {
  return these.permissions
    .filter((one) => !within(scope([structuredClone(one)]), those))
    .map((one) => structuredClone(one) as PermissionJson);
}

const json = (of: Scope): PermissionJson[] =>
  of.permissions.map((one) => structuredClone(one) as PermissionJson);

/** What passes a limit would be refused when a token is minted too. */
function orNothing(make: () => Scope): Scope {
  try {
    return make();
  } catch (error) {
    if (error instanceof TooLarge || error instanceof ScopeError) return scope([]);
    throw error;
  }
}
