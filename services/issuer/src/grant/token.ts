import {
  type Capability,
  capabilityPayload,
  type NewCapability,
  type Signer,
  scope,
} from '@remit/capability';
import type { Rev } from '@remit/contracts';
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
  readonly decision: AllowedDecision;
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
  const { decision, nowSeconds, jkt, randomId } = facts;
  const { task } = decision;
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
    ...(task.single_use ? { singleUse: randomId() } : {}),
  };
}

/**
 * Signs a capability as a JWT access token (RFC 9068 section 2.1). The claims are read back before
 * they are signed. Throws TokenError when a verifier would refuse them.
 */
export function signToken(capability: Capability, signer: Signer): string {
  return signer.sign({ typ: 'at+jwt' }, capabilityPayload(capability));
}
