import { FREE_TASK_TYPE } from '@remit/contracts';
import { checkActive, checkKeyRegistered } from '../client-auth/methods.ts';
import { issuerUrl } from '../metadata.ts';
import { budgetsOf } from './budgets.ts';
import { type AllowedDecision, requireAllowed } from './decision.ts';
import type { LaunchRequest } from './exchange-request.ts';
import { checkLaunch, lookUpLaunch } from './facts.ts';
import { readHead } from './head.ts';
import { checkIdp, checkLauncher, verifyIdToken } from './id-token.ts';
import { inOrder } from './in-order.ts';
import { registerToken, type SignedToken, signRegistered } from './issue.ts';
import { nextActors } from './next-actors.ts';
import { checkBinding, openTokenProof, rememberTokenProof } from './proof.ts';
import { nowSeconds, type Session } from './session.ts';
import { limitedTerms } from './terms.ts';
import { firstToken, type TokenFacts, taskUntil } from './token.ts';

/**
 * Starts a task for the user of an ID token (02, Launching a task) and signs its first token.
 * Throws IssuerError; a token then does not exist, though a task, an index or a use may be spent.
 */
export async function launch(session: Session, asked: LaunchRequest): Promise<SignedToken> {
  const { deps, tenant, client, trail } = session;
  trail.audience = asked.resource;
  trail.taskType = asked.task.taskType;
  if (asked.task.requested) trail.requested = asked.task.requested;
  const { signing_alg: algorithm } = client.agent;
  const proof = openTokenProof(session);
  const jkt = proof?.jkt;
  const [, idToken, { rev, signer }] = await inOrder([
    takeProof(session, proof),
    verifyIdToken(asked.idToken, {
      tenant: client.tenant,
      keys: deps.idpKeys,
      nowSeconds: nowSeconds(deps),
    }),
    readHead(session, { algorithm, jkt }),
  ]);
  trail.rev = rev;

  const facts = await lookUpLaunch(deps.services.directory, tenant, {
    clientId: client.agent.id,
    user: idToken,
    taskType: asked.task.taskType,
    resource: asked.resource,
  });
  trail.user = facts.user.id;
  checkLaunch(facts, asked.task.taskType);
  checkActive(facts.client);
  await checkKeyRegistered(client, facts.client);
  checkIdp(idToken.iss, facts.client.tenant);
  checkLauncher(idToken, facts.client.agent);
  checkBinding(jkt, facts.client.agent);

  const task = { id: `task_${deps.randomId()}`, type: asked.task.taskType };
  trail.taskId = task.id;
  const decision = await decide(session, { launch: asked, user: facts.user.id, task });
  const terms = limitedTerms(decision, asked.task.limits);
  const mayAct = await nextActors(session, terms.may_act, {
    actors: [client.agent.id],
    user: facts.user.id,
    client: client.agent.id,
    audience: asked.resource,
    task,
    permissions: decision.permissions,
  });
  const made: TokenFacts = {
    issuer: issuerUrl(deps.publicUrl, tenant),
    tenant,
    audience: asked.resource,
    user: facts.user.id,
    agent: client.agent.id,
    task,
    jkt,
    rev,
    decision: { ...decision, task: terms },
    mayAct,
    nowSeconds: nowSeconds(deps),
    randomId: deps.randomId,
  };
  const taskUntilSeconds = taskUntil(made);
  const spenders = { taskId: task.id, agent: made.agent, user: made.user };
  const { registrations } = budgetsOf(decision, spenders, taskUntilSeconds);
  // Side by side: neither needs the other, and nothing is signed before both are done.
  const [capability] = await Promise.all([
    registerToken(session, firstToken(made), signer, registrations),
    deps.tasks.insert(tenant, {
      ...task,
      user: facts.user.id,
      originAgent: client.agent.id,
      jkt,
      ceiling: decision.ceiling,
      purpose: terms.purpose,
      untilSeconds: taskUntilSeconds,
    }),
  ]);
  const origin = { grant: 'launch', free: task.type === FREE_TASK_TYPE } as const;
  return signRegistered(capability, { signer, decision, taskUntilSeconds, origin });
}

async function takeProof(
  session: Session,
  proof: ReturnType<typeof openTokenProof>,
): Promise<void> {
  if (!proof) return;
  await rememberTokenProof(session, proof);
  session.trail.jkt = proof.jkt;
}

function decide(
  { deps, tenant, client }: Session,
  asked: { launch: LaunchRequest; user: string; task: { id: string; type: string } },
): Promise<AllowedDecision> {
  const { slots, requested, narrow } = asked.launch.task;
  return requireAllowed((request) => deps.services.mint(tenant, request), {
    actors: [client.agent.id],
    user: asked.user,
    client: client.agent.id,
    audience: asked.launch.resource,
    // A free task has no type to make an instance of: the list is its ceiling.
    task: {
      ...asked.task,
      slots,
      ...(asked.task.type === FREE_TASK_TYPE && requested ? { ceiling: requested } : {}),
    },
    ...(requested === undefined ? {} : { requested }),
    narrow,
  });
}
