import { isDeepStrictEqual } from 'node:util';
import type { ReserveRequest, ReserveResponse } from '@remit/contracts';
import { wireError } from '@remit/service-kit';
import {
  addToAccounts,
  type Budget,
  findBudgets,
  findReservations,
  insertReservations,
  keyOf,
  lockAccounts,
  openAccounts,
  type Reservation,
} from '../store/budgets.ts';
import { readPoint } from '../store/point.ts';
import { revocationsNaming } from '../store/revocations.ts';
import type { Charge, Trx } from '../store/tables.ts';
import { firstHit, naming } from './check.ts';
import { livesNow } from './consume.ts';
import { SETTLED_SECONDS } from './lifetimes.ts';

/** A reservation as it was asked for, and the PEP that asks. */
export type ReservationAsked = ReserveRequest & { pep: string };
export type Reserved = { answer: ReserveResponse } | { refused: ReturnType<typeof wireError> };

/**
 * Holds amounts for several calls of a tenant in one transaction, each from all of its budgets or
 * from none; each has its own answer, in their order. The accounts are locked before anything is
 * compared, so that what is spent and held together never passes a limit, over all PEPs and replicas.
 * The attempt that has a reservation gets the same answer however often it asks. What is revoked at
 * this moment, or has another epoch, holds nothing. A call that is refused changes no account.
 * Refuses (`CONFLICT`) a token that has expired or lives too long, and an attempt of another call.
 */
export async function reserveAll(
  trx: Trx,
  tenant: string,
  asked: readonly ReservationAsked[],
  { holdSeconds }: { holdSeconds: number },
): Promise<Reserved[]> {
  const { epoch, seq, timeMs } = await readPoint(trx, tenant);
  const now = Math.floor(timeMs / 1_000);
  const named = { tokens: asked.map(({ token }) => token), tasks: [], keys: [] };
  const revocations = await revocationsNaming(trx, tenant, named);
  const ids = [...new Set(asked.flatMap(({ charges }) => charges.map(({ id }) => id)))];
  const budgets = new Map(
    (await findBudgets(trx, tenant, ids, now)).map((budget) => [budget.id, budget]),
  );
  await openAccounts(
    trx,
    tenant,
    [...budgets.values()].filter(({ opened }) => !opened),
  );
  const accounts = await lockAccounts(trx, tenant, [...budgets.values()]);
  // After the locks: another replica may have taken the same attempt meanwhile.
  const attempts = asked.map(({ attempt }) => attempt);
  const known = await findReservations(trx, tenant, attempts);
  const made = new Map<string, Reservation>();

  function judge(one: ReservationAsked): Reserved {
    const { attempt, pep, token, audience } = one;
    const charges = chargesOf(one, budgets);
    const before = known.get(attempt) ?? made.get(attempt);
    if (before) return repeated(before, one);
    if (!livesNow(token.exp, now))
      return conflict('The token does not end within fifteen minutes.');
    const only = { tokens: [token], tasks: [], keys: [] };
    const point = { epoch, seq };
    const revoked = firstHit(tenant, point, only, naming(tenant, token, revocations));
    if (revoked) return { answer: { outcome: 'revoked', revoked } };
    if ('unknown' in charges) return { answer: { outcome: 'unknown', budget: charges.unknown } };
    for (const charge of charges) {
      const account = accounts.get(keyOf(charge));
      const { maxAmount } = budgets.get(charge.id) as Budget;
      if (!account || account.spent + account.held + charge.amount > maxAmount) {
        return { answer: { outcome: 'exceeded', budget: charge.id } };
      }
    }
    for (const charge of charges) {
      const account = accounts.get(keyOf(charge));
      if (account) account.held += charge.amount;
    }
    made.set(attempt, {
      attempt,
      pep,
      jti: token.jti,
      audience,
      charges,
      state: 'reserved',
      expires_ms: timeMs + holdSeconds * 1_000,
      keep_until: now + holdSeconds + SETTLED_SECONDS,
    });
    return { answer: { outcome: 'reserved' } };
  }

  const answers = asked.map(judge);
  const inserted = await insertReservations(trx, tenant, [...made.values()]);
  const held = [...made.values()]
    .filter(({ attempt }) => inserted.has(attempt))
    .flatMap(({ charges }) => charges);
  await addToAccounts(
    trx,
    tenant,
    held.map(({ id, period, amount }) => ({ id, period, spent: 0, held: amount })),
  );
  // With other budgets, so not behind the same locks, another call took the name at this instant.
  return answers.map((answer, at) => {
    const attempt = attempts[at] as string;
    const lost = made.has(attempt) && !inserted.has(attempt);
    return lost ? conflict('The attempt is that of another call.') : answer;
  });
}

/** The accounts that a call charges, each once; or the first budget that is not known like this. */
function chargesOf(
  { charges }: ReservationAsked,
  budgets: ReadonlyMap<string, Budget>,
): Charge[] | { unknown: string } {
  const sums = new Map<string, Charge>();
  for (const { id, unit, amount } of charges) {
    const budget = budgets.get(id);
    if (!budget || budget.unit !== unit) return { unknown: id };
    const { period } = budget;
    sums.set(id, { id, period, amount: (sums.get(id)?.amount ?? 0) + amount });
  }
  return [...sums.values()];
}

function repeated(before: Reservation, one: ReservationAsked): Reserved {
  const sums = new Map<string, number>();
  for (const { id, amount } of one.charges) sums.set(id, (sums.get(id) ?? 0) + amount);
  const same =
    before.pep === one.pep &&
    before.jti === one.token.jti &&
    before.audience === one.audience &&
    isDeepStrictEqual(new Map(before.charges.map(({ id, amount }) => [id, amount])), sums);
  if (!same) return conflict('The attempt is that of another call.');
  const held = before.state === 'reserved' || before.state === 'committed';
  return { answer: { outcome: held ? 'reserved' : 'ended' } };
}

function conflict(detail: string): Reserved {
  return { refused: wireError('CONFLICT', { detail }) };
}
