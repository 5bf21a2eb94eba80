import { type Static, Type } from 'typebox';
import { budgetAmount, budgetId } from './budgets.ts';
import { consumeRequest, revocationHit } from './revocation.ts';
import { closed, oneOf, text } from './schema.ts';

const { attempt, token, audience } = consumeRequest.properties;

/**
 * Holds what a call will spend: from every budget of its token, or from none. `attempt` names one
 * call at one PEP, and the same attempt gets the same answer. What is neither committed nor released
 * in time is given back by itself.
 */
export const reserveRequest = closed({
  attempt,
  token,
  audience,
  charges: Type.Array(closed({ id: budgetId, unit: text(512), amount: budgetAmount }), {
    minItems: 1,
    maxItems: 16,
  }),
});
/**
 * `exceeded` and `unknown` name the first `budget` that has not so much left, or that nobody
 * registered like this; `ended`: this attempt was released or has expired. Nothing is held then.
 */
export const reserveResponse = closed({
  outcome: oneOf('reserved', 'exceeded', 'unknown', 'revoked', 'ended'),
  budget: Type.Optional(budgetId),
  revoked: Type.Optional(revocationHit),
});
export type ReserveRequest = Static<typeof reserveRequest>;
export type ReserveResponse = Static<typeof reserveResponse>;

/** Spends what an attempt holds, before the tool may run. Only the PEP that reserved it can. */
export const commitRequest = closed({ attempt });
/** Gives back what an attempt holds or has spent, because nothing was done. */
export const releaseRequest = closed({ attempt });
/** How the attempt stands, by whichever came first; `unknown`: it never held anything, or long ago. */
export const settleResponse = closed({
  outcome: oneOf('committed', 'released', 'expired', 'unknown'),
});
export type SettleResponse = Static<typeof settleResponse>;
