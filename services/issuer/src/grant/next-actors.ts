import { type NextActor, scope } from '@remit/capability';
import type { MintRequest } from '@remit/contracts';
import { calculateJwkThumbprint } from 'jose';
import { IssuerError } from '../error.ts';
import { lookUpAgents } from './facts.ts';
import type { Session } from './session.ts';

/** Agents of one look-up, and entries of one claim. */
const LOOKUP_MAX = 9;
const ENTRIES_MAX = 16;

/**
 * `may_act` of a first token: for each agent that may be named next, and each of its proof keys, what
 * of the token's scope it may get. A decision of its own for the chain with that agent says so, so
 * that its envelope is met already and a guardrail that could refuse it makes its permissions online:
 * an enforcement point needs neither to take an offline hop.
 * An agent that is not active, has no proof key, acts already or may do nothing of it is left out.
 * Undefined for no list, which limits nothing; an empty one names nobody.
 * Throws IssuerError `DETAILS_REFUSED` for more entries than a token holds.
 */
export async function nextActors(
  { deps, tenant }: Pick<Session, 'deps' | 'tenant'>,
  names: readonly string[] | undefined,
  granted: Pick<MintRequest, 'actors' | 'audience' | 'client' | 'user'> & {
    readonly task: { readonly id: string; readonly type: string };
    readonly permissions: NonNullable<MintRequest['requested']>;
  },
): Promise<readonly NextActor[] | undefined> {
  if (names === undefined) return undefined;
  const { permissions, task, actors, ...parties } = granted;
  const others = names.filter((name) => !actors.includes(name));
  const entries: NextActor[] = [];
  for (let from = 0; from < others.length; from += LOOKUP_MAX) {
    const some = others.slice(from, from + LOOKUP_MAX);
    const found = await lookUpAgents(deps.services.directory, tenant, some);
    for (const sub of some) {
      const agent = found.get(sub);
      const keys = agent?.active ? agent.agent.proof_keys : undefined;
      if (keys === undefined) continue;
      const decision = await deps.services.mint(tenant, {
        ...parties,
        actors: [...actors, sub],
        task: { id: task.id, type: task.type, slots: {}, ceiling: permissions },
        requested: permissions,
        narrow: true,
      });
      if (decision.decision !== 'allow' || decision.permissions.length === 0) continue;
      const own = scope(decision.permissions);
      for (const key of keys) {
        entries.push({ sub, jkt: await calculateJwkThumbprint(key), scope: own });
      }
    }
  }
  if (entries.length <= ENTRIES_MAX) return entries;
  throw new IssuerError('DETAILS_REFUSED', 'The token would name too many next actors.', {
    reason: 'scope_too_large',
    dimension: 'task',
  });
}
