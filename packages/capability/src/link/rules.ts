import { createHash } from 'node:crypto';
import { excess, isSingle, narrower, type Scope } from '../scope/index.ts';
import type { Capability, NextActor } from '../token/index.ts';
import { type LinkCode, LinkError, type LinkErrorContext } from './errors.ts';
import type { LinkClaims } from './read.ts';

/** A link of a chain, with what its receiver may do. */
export interface ChainLink {
  /**
   * What records, lineages and revocations call the link: {@link linkId}, never an id that its signer
   * chose, so that nobody can give a link the id of another link or of a token.
   */
  readonly id: string;
  /** Thumbprint of the key that it hands on to. */
  readonly jkt: string;
  /** The agent that acts with that key. */
  readonly actor: string;
  /** The key is another key of the same actor: the link added no agent. */
  readonly worker: boolean;
  /**
   * What the token and its links up to this one say together: scope, actors, key, life, and the ids of
   * all tokens and links before it. Issuer, audience, user, tenant, client, task, `rev`, use id, budgets,
   * policy and approval are the token's.
   */
  readonly capability: Capability;
}

function refuse(code: LinkCode, message: string, context?: LinkErrorContext): never {
  throw new LinkError(code, message, context);
}

/** The thumbprint of the key that must sign the next link. Refuses what can't be handed on at all. */
export function signerOf({ links, confirmation }: Capability): string {
  if (links && confirmation !== undefined && 'jkt' in confirmation) return confirmation.jkt;
  return refuse('LINKS_NOT_ALLOWED', 'the token may not be handed on offline');
}

/** Refuses `hops` more than the token allows; counted, whatever a claim says. */
export function checkHops({ depth, lineage }: Capability, hops: number): void {
  if (lineage.length + hops > depth.max) {
    refuse('DEPTH_EXCEEDED', 'the chain is longer than the token allows');
  }
}

/**
 * The id of a link: the first 128 bits of SHA-256 over its `prev` and its `jti`, as they stand in it, with
 * a dot between. Signed text alone, so that another signature over it has the same id.
 */
function linkId({ previous, id }: Pick<LinkClaims, 'id' | 'previous'>): string {
  const digest = createHash('sha256').update(`${previous}.${id}`, 'ascii').digest();
  return digest.subarray(0, 16).toString('base64url');
}

/**
 * What a link gives to its receiver, by the rules of handing on.
 *
 * Checks: a hop is left; the life lies inside that of what stands before;
 * a key on the token's `may_act` list adds its agent, which acts once and within its entry, any other
 * key is a worker of the same actor; the scope is `narrower` for an agent (where the scope before can't
 * be divided further, a strictly earlier end is enough) and `within` for a worker.
 *
 * Doesn't check the signature and `prev`: `verifyChain` does. Doesn't look at the clock, at revocations,
 * or at what an agent's envelope is by now.
 */
export function applyLink(before: Capability, link: LinkClaims): ChainLink {
  checkHops(before, 1);
  if (link.expiresAt > before.expiresAt || link.issuedAt < before.issuedAt) {
    refuse('EXPIRY_WIDENING', 'a link lives inside the life of what it hands on', {
      claim: link.expiresAt > before.expiresAt ? 'exp' : 'iat',
    });
  }
  const named = entryOf(before, link.jkt);
  mustBeWithin(link.scope, before.scope, 'parent');
  if (named !== undefined) checkNamed(before, link, named);
  const actor = named?.sub ?? actorOf(before);
  const id = linkId(link);
  return Object.freeze({
    id,
    jkt: link.jkt,
    actor,
    worker: named === undefined,
    capability: Object.freeze({
      ...before,
      id,
      issuedAt: link.issuedAt,
      notBefore: Math.max(before.notBefore, link.issuedAt),
      expiresAt: link.expiresAt,
      actors: named === undefined ? before.actors : Object.freeze([...before.actors, actor]),
      scope: link.scope,
      lineage: Object.freeze([...before.lineage, before.id]),
      depth: { used: before.depth.used + 1, max: before.depth.max },
      confirmation: { jkt: link.jkt },
    }),
  });
}

function actorOf({ actors }: Capability): string {
  return actors.at(-1) ?? refuse('LINKS_NOT_ALLOWED', 'the token names nobody who acts');
}

/** The agent that the token names by this key; undefined where the key is a worker's. */
function entryOf({ mayAct }: Capability, jkt: string): NextActor | undefined {
  return mayAct?.find((entry) => entry.jkt === jkt);
}

function checkNamed(before: Capability, link: LinkClaims, named: NextActor): void {
  if (before.actors.includes(named.sub)) {
    refuse('ACTOR_CYCLE', 'no agent acts twice in a chain', { claim: 'cnf' });
  }
  mustBeWithin(link.scope, named.scope, 'may_act');
  if (narrower(link.scope, before.scope) !== undefined) return;
  if (isSingle(before.scope) && link.expiresAt < before.expiresAt) return;
  refuse('NOTHING_GIVEN_UP', 'a link to another agent must give something up', {
    claim: 'permissions',
  });
}

function mustBeWithin(
  wanted: Scope,
  limit: Scope,
  bound: NonNullable<LinkErrorContext['bound']>,
): void {
  const found = excess(wanted, limit);
  if (found === undefined) return;
  refuse('SCOPE_WIDENING', 'the scope of a link is too wide', {
    claim: 'permissions',
    bound,
    excess: found,
  });
}
