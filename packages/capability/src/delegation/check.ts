import { excess, type Scope, within } from '../scope/index.ts';
import type { Capability, NewCapability, NextActor } from '../token/index.ts';
import { type DelegationCode, DelegationError, type DelegationErrorContext } from './errors.ts';

function must(
  holds: boolean,
  code: DelegationCode,
  message: string,
  context?: DelegationErrorContext,
): asserts holds {
  if (!holds) throw new DelegationError(code, message, context);
}

const sameList = (a: readonly string[], b: readonly string[]) =>
  a.length === b.length && a.every((entry, i) => entry === b[i]);

/** Throws SCOPE_WIDENING where `wanted` isn't within `limit`, and says whose bound that is. */
function mustBeWithin(
  wanted: Scope,
  limit: Scope,
  bound: NonNullable<DelegationErrorContext['bound']>,
): void {
  const found = excess(wanted, limit);
  if (found === undefined) return;
  throw new DelegationError('SCOPE_WIDENING', 'the scope asked for is too wide', {
    bound,
    excess: found,
  });
}

function checkSame(parent: Capability, child: NewCapability): void {
  must(child.issuer === parent.issuer, 'ISSUER_CHANGED', 'a child has the issuer of its parent');
  must(child.tenant === parent.tenant, 'TENANT_MISMATCH', 'a child has the tenant of its parent');
  must(child.subject === parent.subject, 'SUBJECT_CHANGED', 'a child acts for the same user');
  const { task } = parent;
  must(
    child.task.id === task.id &&
      child.task.type === task.type &&
      child.task.purpose === task.purpose,
    'TASK_CHANGED',
    'a child is for the task of its parent',
  );
  must(
    child.audience === parent.audience,
    'AUDIENCE_WIDENING',
    'a child is for the audience of its parent',
  );
  must(
    child.approval === parent.approval,
    'APPROVAL_CHANGED',
    'a child rests on the approval of its parent',
  );
}

const budgets = (of: NewCapability) =>
  (of.budgets ?? []).map(({ id, unit, path }) => JSON.stringify([id, unit, path ?? null]));

function checkUse(parent: Capability, child: NewCapability): void {
  must(
    child.singleUse === parent.singleUse && sameList(budgets(child), budgets(parent)),
    'USE_CHANGED',
    'a child shares the use and the budgets of its parent',
  );
}

function checkChain(parent: Capability, child: NewCapability): void {
  const { used, max } = child.depth;
  must(
    sameList(child.lineage, [...parent.lineage, parent.id]) &&
      child.id !== parent.id &&
      used === parent.depth.used + 1,
    'CHAIN_SPLICE',
    'a child descends from one parent',
  );
  must(max <= parent.depth.max, 'DEPTH_EXCEEDED', 'a child goes no deeper than its parent');
  checkDepth(used, max);
  const actor = child.actors.at(-1);
  must(
    actor !== undefined && sameList(child.actors.slice(0, -1), parent.actors),
    'ACTOR_CHAIN_INVALID',
    'a child adds one actor to those of its parent',
  );
  checkUnrepeated(parent, actor);
}

function checkDepth(used: number, max: number): void {
  must(used <= max, 'DEPTH_EXCEEDED', 'the chain is too deep');
}

function checkUnrepeated(parent: Capability, actor: string): void {
  must(!parent.actors.includes(actor), 'ACTOR_CYCLE', 'no agent acts twice in a chain');
}

/** The entry of `may_act` for an actor and its key; undefined where the token names nobody. */
function entryOf(
  { mayAct }: Capability,
  actor: string | undefined,
  jkt: string | undefined,
): NextActor | undefined {
  if (mayAct === undefined) return undefined;
  const named = mayAct.find((entry) => entry.sub === actor && entry.jkt === jkt);
  must(named !== undefined, 'ACTOR_NOT_NAMED', 'the token does not name this actor and key');
  return named;
}

function checkNamed(parent: Capability, child: NewCapability): void {
  const { confirmation } = child;
  const jkt = confirmation && 'jkt' in confirmation ? confirmation.jkt : undefined;
  const named = entryOf(parent, child.actors.at(-1), jkt);
  if (named !== undefined) mustBeWithin(child.scope, named.scope, 'may_act');
}

/**
 * Checks whether a token can be handed on to an actor at all, before anything is asked or decided:
 * there is a hop left, the agent isn't in the chain yet, and `may_act`, where present, names it with
 * this key. `checkChild` checks the same of the child that comes out.
 *
 * @throws DelegationError DEPTH_EXCEEDED, ACTOR_CYCLE, ACTOR_NOT_NAMED
 */
export function checkNextActor(
  parent: Capability,
  actor: { readonly sub: string; readonly jkt: string },
): void {
  checkDepth(parent.depth.used + 1, parent.depth.max);
  checkUnrepeated(parent, actor.sub);
  entryOf(parent, actor.sub, actor.jkt);
}

function checkHandingOn(parent: Capability, child: NewCapability): void {
  must(!child.links || parent.links, 'LINKS_WIDENING', 'the parent may not be handed on offline');
  const mayAct = parent.mayAct;
  if (mayAct === undefined) return;
  const kept = child.mayAct?.every((entry) =>
    mayAct.some(
      (own) => own.sub === entry.sub && own.jkt === entry.jkt && within(entry.scope, own.scope),
    ),
  );
  must(kept === true, 'ACTOR_NOT_NAMED', 'a child keeps the list of who may be named next');
}

/**
 * Checks a child against its one parent.
 *
 * Checks: same issuer, tenant, user, task, audience, approval, use and budgets; one parent, whose id
 * ends the lineage; one new actor, none twice; depth counted and not enlarged; no longer life and no
 * earlier start; bound where the parent is; scope within the parent's (a local permission never comes
 * from an online one); `may_act` and `links` not widened.
 *
 * Doesn't check: either token's signature, time and revocation; who asks; the envelopes and the
 * user's rights of now; that something is given up, which `deriveChild` does.
 *
 * @throws DelegationError with the code of the first rule that is broken
 */
export function checkChild(parent: Capability, child: NewCapability): void {
  checkSame(parent, child);
  checkChain(parent, child);
  must(
    child.expiresAt <= parent.expiresAt &&
      child.issuedAt >= parent.issuedAt &&
      child.notBefore >= parent.notBefore,
    'EXPIRY_WIDENING',
    'a child lives inside the life of its parent',
  );
  must(
    parent.confirmation === undefined || child.confirmation !== undefined,
    'BINDING_DOWNGRADE',
    'a bound token has only bound children',
  );
  checkUse(parent, child);
  mustBeWithin(child.scope, parent.scope, 'parent');
  checkNamed(parent, child);
  checkHandingOn(parent, child);
}
