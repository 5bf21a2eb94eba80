import { type Capability, type NewCapability, type NextActor, scope } from '@remit/capability';
import type { Rev } from '@remit/contracts';
import { IssuerError } from '../error.ts';
import type { StoredTask } from '../store/tasks.ts';
import { budgetsOf, hasBudgets } from './budgets.ts';
import { type AllowedDecision, requireAllowed } from './decision.ts';
import type { RenewalRequest } from './exchange-request.ts';
import { readHead } from './head.ts';
import { lookUpActors, openHeldToken } from './held.ts';
import { registerToken, type SignedToken, signRegistered } from './issue.ts';
import { nextActors } from './next-actors.ts';
import { checkBinding } from './proof.ts';
import { nowSeconds, type Session } from './session.ts';
import { jktOf } from './subject-token.ts';

/**
 * Gives the holder of a live first token another first token of the same task: for another audience,
 * a later end or part of the ceiling (02, Launching a task). A fresh decision against the ceiling
 * that the task was started with; the same user, agent, key, use id and budgets; no ancestors.
 * A token with an ancestor or a second actor is refused, so that no exchange drops an actor.
 * Throws IssuerError; a token then does not exist, though an index may be spent.
 */
export async function renew(session: Session, asked: RenewalRequest): Promise<SignedToken> {
  const { deps, tenant, client, trail } = session;
  if (asked.requested) trail.requested = asked.requested;
  const held = await openHeldToken(session, asked.token);
  const first = held.capability;
  const audience = asked.resource ?? first.audience;
  trail.audience = audience;
  const jkt = jktOf(first);
  const task = requireRenewable(first, await deps.tasks.find(tenant, first.task.id));
  checkRunning(task, nowSeconds(deps));

  const { signing_alg: algorithm } = client.agent;
  const { rev, signer } = await readHead(session, { algorithm, jkt, held });
  trail.rev = rev;

  const [own] = await lookUpActors(session, [client.agent.id]);
  checkBinding(jkt, (own ?? client).agent);
  const decision = await requireAllowed((request) => deps.services.mint(tenant, request), {
    actors: [client.agent.id],
    user: task.user,
    client: client.agent.id,
    audience,
    task: { id: task.id, type: task.type, slots: {}, ceiling: [...task.ceiling] },
    ...(asked.requested === undefined ? {} : { requested: asked.requested }),
    narrow: false,
  });
  const mayAct = await nextActors(session, namesNow(first, decision.task.may_act), {
    actors: [client.agent.id],
    user: task.user,
    client: client.agent.id,
    audience,
    task,
    permissions: decision.permissions,
  });
  const made = nextFirstToken(session, { first, task, audience, rev, decision, mayAct });
  const spenders = { taskId: task.id, agent: task.originAgent, user: task.user };
  const budgets = budgetsOf(decision, spenders, task.untilSeconds);
  if (!hasBudgets(first.budgets, budgets.claims)) {
    throw notRenewable('The task type has other budgets by now; start the task again.', decision);
  }
  const capability = await registerToken(session, made, signer, budgets.registrations);
  return signRegistered(capability, {
    signer,
    decision,
    taskUntilSeconds: task.untilSeconds,
    origin: { grant: 'renewal', from: first.id },
  });
}

function requireRenewable(first: Capability, task: StoredTask | undefined): StoredTask {
  const isFirst = first.lineage.length === 0 && first.actors.length === 1;
  if (
    isFirst &&
    task?.type === first.task.type &&
    task.user === first.subject &&
    task.originAgent === first.actors[0] &&
    task.jkt === jktOf(first)
  ) {
    return task;
  }
  throw notRenewable(
    isFirst
      ? 'The subject token is not one of a task that was started here.'
      : 'A delegated token is not renewed; its giver delegates again.',
  );
}

function checkRunning({ untilSeconds }: StoredTask, now: number): void {
  if (now < untilSeconds) return;
  throw new IssuerError('SUBJECT_TOKEN_INVALID', 'The task has ended.', { reason: 'task_over' });
}

/** Whom the token that is renewed and the task type both let be named; undefined for anybody. */
function namesNow(
  { mayAct }: Capability,
  allowed: readonly string[] | undefined,
): readonly string[] | undefined {
  if (mayAct === undefined) return allowed;
  const before = [...new Set(mayAct.map(({ sub }) => sub))];
  return before.filter((name) => allowed?.includes(name) ?? true);
}

/**
 * The claims of the next first token. What the task type says by now counts where it is stricter; a
 * use id that the task was not started with cannot be added, since its first token is out without it.
 */
function nextFirstToken(
  { deps }: Session,
  made: {
    first: Capability;
    task: StoredTask;
    audience: string;
    rev: Rev;
    decision: AllowedDecision;
    mayAct: readonly NextActor[] | undefined;
  },
): NewCapability {
  const { first, task, audience, rev, decision, mayAct } = made;
  const { depth_max: depthMax, links, single_use: singleUse } = decision.task;
  const now = nowSeconds(deps);
  checkRunning(task, now);
  if (singleUse && first.singleUse === undefined) {
    throw notRenewable('The task type is single use by now; start the task again.', decision);
  }
  const { status: _status, approval: _approval, ...same } = first;
  return {
    ...same,
    audience,
    id: deps.randomId(),
    issuedAt: now,
    notBefore: now,
    expiresAt: Math.min(now + decision.task.token_seconds, task.untilSeconds),
    scope: scope(decision.permissions),
    depth: { used: 0, max: Math.min(first.depth.max, depthMax) },
    rev,
    policy: { version: decision.policy_version, decision: decision.id },
    links: first.links && links,
    ...(mayAct === undefined ? {} : { mayAct }),
  };
}

function notRenewable(message: string, decision?: AllowedDecision): IssuerError {
  return new IssuerError('SUBJECT_TOKEN_INVALID', message, {
    reason: 'not_renewable',
    ...(decision && { decision }),
  });
}
