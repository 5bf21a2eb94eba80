import { type Static, Type } from 'typebox';
import { closed, count, oneOf, text } from './schema.ts';

/**
 * Amounts are whole ten-thousandths of a unit, so that four decimals are exact everywhere; one call
 * of a budget that counts calls is one unit.
 */
export const AMOUNT_SCALE = 10_000;
/** What amounts and limits stay below: 10^11 units, as fractions of the capability model do. */
export const budgetAmount = Type.Integer({ minimum: 0, maximum: 10 ** 15 - 1 });
/** The unit of a budget without a path: it counts calls. */
export const CALLS = 'calls';

/** An id of the capability model, as `readCapability` takes it. */
export const budgetId = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' });

/**
 * A budget as a task type declares it. `per` says who shares one sum: all tokens of the task (`task`;
 * `token` is the same sum, since a token shares its budgets with its descendants and with the other
 * first tokens of its task), all tasks of the agent that starts them, or all tasks of the user. What
 * an agent or a user shares over several task types has one `name` and one declaration.
 * Without `path` calls are counted, with it the number at that path of the arguments. `limit` has at
 * most four decimals. `every_seconds`: the sum begins anew with each such stretch of the feed's
 * clock, counted from 1970; without it never.
 */
export const budgetDeclaration = closed({
  name: Type.String({ pattern: '^[a-z][a-z0-9-]{0,63}$' }),
  per: oneOf('token', 'task', 'agent', 'user'),
  unit: text(64),
  path: Type.Optional(text(512)),
  limit: Type.Number({ minimum: 0, exclusiveMaximum: 10 ** 11 }),
  every_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_622_400 })),
});
export type BudgetDeclaration = Static<typeof budgetDeclaration>;
export const budgetDeclarations = Type.Array(budgetDeclaration, { maxItems: 8 });

/**
 * What the ledger has to know of a budget before a token with it exists. Of two declarations the one
 * of the younger registry `revision` holds. `until` (epoch seconds): no token with it is signed later.
 */
export const budgetRegistration = closed({
  id: budgetId,
  unit: text(64),
  limit: budgetAmount,
  every_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_622_400 })),
  revision: count,
  until: Type.Optional(count),
});
export type BudgetRegistration = Static<typeof budgetRegistration>;

const EXACT = /^(\d{1,11})(?:\.(\d{1,4}))?$/;

/**
 * A number as whole ten-thousandths, exactly; undefined for anything that is not one number from zero
 * to below 10^11 with at most four decimals.
 */
export function exactAmount(value: unknown): number | undefined {
  if (typeof value !== 'number') return undefined;
  const [, whole, fraction = ''] = EXACT.exec(String(value)) ?? [];
  return whole === undefined ? undefined : Number(whole + fraction.padEnd(4, '0'));
}
