import { isSingle, narrower, type Operation, type Scope } from '../scope/index.ts';
import type { Capability } from '../token/index.ts';
import { checkChild, mustBeWithin } from './check.ts';
import { DelegationError } from './errors.ts';

/** What the registry says now. */
export interface DelegationFacts {
  /** Of every actor of the child's chain, the new one included. */
  readonly envelopes: readonly Scope[];
  /** What the user holds. */
  readonly entitlement: Scope;
  /** The new actor may receive a delegation that gives nothing up. */
  readonly relay: boolean;
}

/** What is new in a child; all the rest is its parent's. */
export interface ChildRequest {
  readonly id: string;
  /** The next actor and the key of its `actor_token`: the child is bound to that key. */
  readonly actor: { readonly sub: string; readonly jkt: string };
  readonly clientId: string;
  readonly scope: Scope;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly rev: Capability['rev'];
  readonly status: Capability['status'];
  readonly policy: Capability['policy'];
  /** Keep the right to hand on offline. Only where the parent has it. */
  readonly links: boolean;
}

export interface DerivedChild {
  readonly child: Capability;
  /** Admitted by the parent, refused by the child; undefined where nothing had to be given up. */
  readonly givenUp?: Operation;
}

/**
 * Makes the claims of a child token (RFC 8693, with the rules of delegation).
 *
 * Checks what `checkChild` checks; that the scope is within the envelope of every actor and within
 * what the user holds now; and that the child gives something up, unless the parent can't be divided
 * further or the actor is a relay, and then only with a strictly earlier expiry.
 *
 * Doesn't check that the asker is the current actor and proved the parent's key, that the parent is
 * alive, or the actor token: the issuer does, before. The guardrails are the PDP's.
 *
 * @throws DelegationError
 */
export function deriveChild(
  parent: Capability,
  request: ChildRequest,
  facts: DelegationFacts,
): DerivedChild {
  const { actor, issuedAt, expiresAt, ...own } = request;
  const child: Capability = {
    ...parent,
    ...own,
    issuedAt,
    notBefore: Math.max(issuedAt, parent.notBefore),
    expiresAt,
    actors: [...parent.actors, actor.sub],
    lineage: [...parent.lineage, parent.id],
    depth: { used: parent.depth.used + 1, max: parent.depth.max },
    confirmation: { jkt: actor.jkt },
  };
  if (facts.envelopes.length !== child.actors.length) {
    throw new TypeError('one envelope for each actor of the chain is needed');
  }
  checkChild(parent, child);
  for (const envelope of facts.envelopes) mustBeWithin(child.scope, envelope, 'agent');
  mustBeWithin(child.scope, facts.entitlement, 'user');
  const givenUp = narrower(child.scope, parent.scope);
  if (givenUp !== undefined) return { child, givenUp };
  const excused = isSingle(parent.scope) || facts.relay;
  if (!excused || expiresAt >= parent.expiresAt) {
    throw new DelegationError('NOTHING_GIVEN_UP', 'a child must give something up');
  }
  return { child };
}
