import { isSingle, narrower, type Operation, type Scope } from '../scope/index.ts';
import type { Capability, NewCapability } from '../token/index.ts';
import { checkChild } from './check.ts';
import { DelegationError } from './errors.ts';

/** What is new in a child; all the rest is its parent's. */
export interface ChildRequest {
  readonly id: string;
  /**
   * The next actor and the key of its `actor_token`: the child is bound to that key. `relay`: it may
   * receive a delegation that gives nothing up.
   */
  readonly actor: { readonly sub: string; readonly jkt: string; readonly relay: boolean };
  readonly clientId: string;
  /** What a decision of now allows, with the envelopes of all actors and the user's rights. */
  readonly scope: Scope;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly rev: Capability['rev'];
  readonly policy: Capability['policy'];
  /** Keep the right to hand on offline. Only where the parent has it. */
  readonly links: boolean;
}

export interface DerivedChild {
  /** Without a place in a status list: it is registered next. */
  readonly child: NewCapability;
  /** Admitted by the parent, refused by the child; undefined where nothing had to be given up. */
  readonly givenUp?: Operation;
}

/**
 * Makes the claims of a child token (RFC 8693, with the rules of delegation).
 *
 * Checks what `checkChild` checks, and that the child gives something up, unless the parent can't be
 * divided further or the actor is a relay, and then only with a strictly earlier expiry.
 *
 * Doesn't check that the asker is the current actor and proved the parent's key, that the parent is
 * alive, or the actor token: the issuer does, before. Envelopes, the user's rights and the guardrails
 * are the decision's, whose scope this takes.
 *
 * @throws DelegationError
 */
export function deriveChild(parent: Capability, request: ChildRequest): DerivedChild {
  const { actor, issuedAt, expiresAt, ...own } = request;
  const { status: _, ...inherited } = parent;
  const child: NewCapability = {
    ...inherited,
    ...own,
    issuedAt,
    notBefore: Math.max(issuedAt, parent.notBefore),
    expiresAt,
    actors: [...parent.actors, actor.sub],
    lineage: [...parent.lineage, parent.id],
    depth: { used: parent.depth.used + 1, max: parent.depth.max },
    confirmation: { jkt: actor.jkt },
  };
  checkChild(parent, child);
  const givenUp = narrower(child.scope, parent.scope);
  if (givenUp !== undefined) return { child, givenUp };
  const excused = isSingle(parent.scope) || actor.relay;
  if (!excused || expiresAt >= parent.expiresAt) {
    throw new DelegationError('NOTHING_GIVEN_UP', 'a child must give something up');
  }
  return { child };
}
