import {
  type Capability,
  capabilityPayload,
  type NewCapability,
  type NextActor,
  type Signer,
  scope,
} from '@remit/capability';
import type { Rev } from '@remit/contracts';
import { budgetsOf } from './budgets.ts';
import type { AllowedDecision } from './decision.ts';

/** What a first token is made of: who asked, what was decided, under which head. */
export type TokenFacts = {
  readonly issuer: string;
  readonly tenant: string;
  readonly audience: string;
  readonly user: string;
  readonly agent: string;
  readonly task: { readonly id: string; readonly type: string };
  /** Thumbprint of the key to bind to; undefined for bearer. */
  readonly jkt: string | undefined;
  /** The head that was read before the decision was asked for. */
  readonly rev: Rev;
  /** With the terms of the task as they were asked for. */
  readonly decision: AllowedDecision;
  /** Who may be named next; undefined for anybody. */
  readonly mayAct: readonly NextActor[] | undefined;
  readonly nowSeconds: number;
  /** 128 random bits as base64url, new at every call. */
  readonly randomId: () => string;
};

/** Epoch seconds until which first tokens of the task may be renewed. */
export function taskUntil({ decision, nowSeconds }: TokenFacts): number {
  return nowSeconds + decision.task.until_seconds;
}

/**
 * The claims of a task's first token (02, The token): the scope that the decision gave and no more,
 * the client as the one actor, no ancestors. It lives as long as the task type says, and never past
 * the end of the task. `links` needs a key that signs them, so a bearer token has none.
 */
export function firstToken(facts: TokenFacts): NewCapability {
  const { decision, nowSeconds, jkt, randomId, agent, user } = facts;
  const { task } = decision;
  const spenders = { taskId: facts.task.id, agent, user };
  const budgets = budgetsOf(decision, spenders, taskUntil(facts)).claims;
  return {
    issuer: facts.issuer,
    audience: facts.audience,
    id: randomId(),
    issuedAt: nowSeconds,
    notBefore: nowSeconds,
    expiresAt: Math.min(nowSeconds + task.token_seconds, taskUntil(facts)),
    subject: facts.user,
    actors: [facts.agent],
    clientId: facts.agent,
    tenant: facts.tenant,
    task: { ...facts.task, purpose: task.purpose },
    scope: scope(decision.permissions),
    lineage: [],
    depth: { used: 0, max: task.depth_max },
    rev: facts.rev,
    policy: { version: decision.policy_version, decision: decision.id },
    links: task.links && jkt !== undefined,
    ...(jkt === undefined ? {} : { confirmation: { jkt } }),
    ...(facts.mayAct === undefined ? {} : { mayAct: facts.mayAct }),
    ...(task.single_use ? { singleUse: randomId() } : {}),
    ...(budgets.length > 0 ? { budgets } : {}),
  };
}

/**
 * Signs a capability as a JWT access token (RFC 9068 section 2.1). The claims are read back before
 * they are signed. Throws TokenError when a verifier would refuse them.
 */
export function signToken(capability: Capability, signer: Signer): string {
  return signer.sign({ typ: 'at+jwt' }, capabilityPayload(capability));
}
