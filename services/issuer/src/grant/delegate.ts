import {
  type Capability,
  checkNextActor,
  type DelegationCode,
  DelegationError,
  type DerivedChild,
  deriveChild,
  scope,
} from '@remit/capability';
import type { Dimension, Reason, Rev } from '@remit/contracts';
import { holdsKey } from '../client-auth/agent-jwt.ts';
import { IssuerError, type IssuerErrorCode } from '../error.ts';
import { issuerUrl } from '../metadata.ts';
import { type NextActor, verifyActorToken } from './actor-token.ts';
import { type AllowedDecision, requireAllowed } from './decision.ts';
import type { DelegationRequest } from './exchange-request.ts';
import { lookUpClient } from './facts.ts';
import { checkTarget } from './form.ts';
import { readHead } from './head.ts';
import { lookUpActors, openHeldToken } from './held.ts';
import { registerToken, type SignedToken, signRegistered } from './issue.ts';
import { nowSeconds, type Session } from './session.ts';
import { jktOf } from './subject-token.ts';

type Refusal = { code: IssuerErrorCode; reason: Reason; message: string; dimension?: Dimension };

/** What a client is told when a rule of delegation refuses; other rules are kept by construction. */
const REFUSALS: ReadonlyMap<DelegationCode, Refusal> = new Map<DelegationCode, Refusal>([
  [
    'ACTOR_CYCLE',
    {
      code: 'DELEGATION_REFUSED',
      reason: 'actor_repeated',
      message: 'The agent acts in the chain already.',
    },
  ],
  [
    'ACTOR_NOT_NAMED',
    {
      code: 'DELEGATION_REFUSED',
      reason: 'actor_not_named',
      message: 'The subject token does not name this agent and key as a next actor.',
    },
  ],
  [
    'DEPTH_EXCEEDED',
    {
      code: 'DELEGATION_REFUSED',
      reason: 'depth_exceeded',
      message: 'The subject token cannot be handed on any further.',
    },
  ],
  [
    'NOTHING_GIVEN_UP',
    {
      code: 'DETAILS_REFUSED',
      reason: 'not_narrower',
      message: 'The request gives nothing of the subject token up.',
      dimension: 'task',
    },
  ],
  [
    'SCOPE_WIDENING',
    {
      code: 'DETAILS_REFUSED',
      reason: 'task_scope',
      message: 'The request is wider than what may be handed to this agent.',
      dimension: 'task',
    },
  ],
]);

/**
 * Hands part of a token to another agent (RFC 8693 sections 1.1 and 2.1; 02, Delegation at the
 * issuer), in the order of every exchange: check, then decide, then register, then sign. The child is
 * bound to the key of the actor token, never to the caller's, and is the child of one parent alone.
 * Throws IssuerError; a child then does not exist, though an actor token or an index may be spent.
 */
export async function delegate(session: Session, asked: DelegationRequest): Promise<SignedToken> {
  const { deps, tenant, client, trail } = session;
  trail.requested = asked.requested;
  const held = await openHeldToken(session, asked.token);
  const parent = held.capability;
  checkTarget(asked.resource, parent.audience);
  const nextActor = await openActorToken(session, asked.actorToken);
  checkHop(parent, nextActor, nowSeconds(deps));

  const { signing_alg: algorithm } = nextActor.agent;
  const { rev, signer } = await readHead(session, { algorithm, held, nextActor });
  trail.rev = rev;

  const actors = [...parent.actors, nextActor.agent.id];
  const relay = await readRelay(session, actors, nextActor);
  const decision = await requireAllowed((request) => deps.services.mint(tenant, request), {
    actors,
    user: parent.subject,
    client: client.agent.id,
    audience: parent.audience,
    task: {
      id: parent.task.id,
      type: parent.task.type,
      slots: {},
      ceiling: structuredClone(parent.scope.permissions) as DelegationRequest['requested'],
    },
    requested: asked.requested,
    narrow: false,
  });
  const { child, givenUp } = derive(session, { parent, nextActor, relay, rev, decision });
  const capability = await registerToken(session, child, signer);
  return signRegistered(capability, {
    signer,
    decision,
    taskUntilSeconds: child.expiresAt,
    origin: { grant: 'delegation', givenUp },
  });
}

async function openActorToken({ deps, tenant, trail }: Session, jwt: string): Promise<NextActor> {
  const nextActor = await verifyActorToken(jwt, {
    issuer: issuerUrl(deps.publicUrl, tenant),
    nowSeconds: nowSeconds(deps),
    lookupAgent: (id) => lookUpClient(deps.services.directory, tenant, id),
    rememberActorToken: (used) => deps.replay.rememberActorToken(tenant, used),
  });
  trail.nextActor = nextActor.agent.id;
  return nextActor;
}

/** What can be said of a hop before anybody is asked. */
function checkHop(parent: Capability, { agent, jkt }: NextActor, now: number): void {
  if (jkt === jktOf(parent)) {
    throw new IssuerError('ACTOR_TOKEN_INVALID', 'actor_token names the key of the caller.', {
      reason: 'actor_token_invalid',
    });
  }
  judged(() => checkNextActor(parent, { sub: agent.id, jkt }));
  lifeOf(parent, now);
}

/** A child begins with its parent or later, and always ends before it. */
function lifeOf(parent: Capability, now: number, tokenSeconds = Number.POSITIVE_INFINITY) {
  const issuedAt = Math.max(now, parent.issuedAt);
  const expiresAt = Math.min(parent.expiresAt - 1, issuedAt + tokenSeconds);
  if (expiresAt > Math.max(issuedAt, parent.notBefore)) return { issuedAt, expiresAt };
  throw new IssuerError('SUBJECT_TOKEN_INVALID', 'The subject token is about to expire.', {
    reason: 'lifetime_spent',
  });
}

async function readRelay(
  session: Session,
  actors: readonly string[],
  nextActor: NextActor,
): Promise<boolean> {
  const next = (await lookUpActors(session, actors)).at(-1) ?? nextActor;
  if (await holdsKey(next.agent.keys, nextActor.keyThumbprint)) return next.agent.relay;
  throw new IssuerError('ACTOR_TOKEN_INVALID', 'actor_token does not verify.', {
    reason: 'actor_token_invalid',
  });
}

function derive(
  { deps, client }: Session,
  made: {
    parent: Capability;
    nextActor: NextActor;
    relay: boolean;
    rev: Rev;
    decision: AllowedDecision;
  },
): DerivedChild {
  const { parent, nextActor, relay, rev, decision } = made;
  return judged(
    () =>
      deriveChild(parent, {
        id: deps.randomId(),
        actor: { sub: nextActor.agent.id, jkt: nextActor.jkt, relay },
        clientId: client.agent.id,
        scope: scope(decision.permissions),
        ...lifeOf(parent, nowSeconds(deps), decision.task.token_seconds),
        rev,
        policy: { version: decision.policy_version, decision: decision.id },
        links: parent.links && decision.task.links,
      }),
    decision,
  );
}

function judged<T>(work: () => T, decision?: AllowedDecision): T {
  try {
    return work();
  } catch (cause) {
    const refusal = cause instanceof DelegationError ? REFUSALS.get(cause.code) : undefined;
    if (!refusal) throw cause;
    const { code, message, ...context } = refusal;
    throw new IssuerError(code, message, { ...context, ...(decision && { decision }), cause });
  }
}
