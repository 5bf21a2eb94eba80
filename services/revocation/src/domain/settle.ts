import type { SettleResponse } from '@remit/contracts';
import {
  addToAccounts,
  type Change,
  findReservations,
  lockAccounts,
  setStates,
} from '../store/budgets.ts';
import { readPoint } from '../store/point.ts';
import type { Charge, ReservationState, Trx } from '../store/tables.ts';

/** What is to become of an attempt's reservation. Without a PEP it is the service that asks. */
export type Settlement = {
  attempt: string;
  pep?: string;
  to: Exclude<ReservationState, 'reserved'>;
};

/** By state and what is asked: what an amount moves in spent and held. Anything else stays as it is. */
const MOVES: Partial<
  Record<`${ReservationState} ${Settlement['to']}`, { spent: number; held: number }>
> = {
  'reserved committed': { spent: 1, held: -1 },
  'reserved released': { spent: 0, held: -1 },
  'reserved expired': { spent: 0, held: -1 },
  'committed released': { spent: -1, held: 0 },
};

/**
 * Commits, releases or expires several reservations of a tenant in one transaction; each has its own
 * answer, in their order: how the attempt stands now. The first of commit and expiry wins; a release
 * also takes back a commit, since only its PEP knows that nothing was done. Repeating changes nothing.
 */
export async function settleAll(
  trx: Trx,
  tenant: string,
  asked: readonly Settlement[],
): Promise<SettleResponse[]> {
  const attempts = asked.map(({ attempt }) => attempt);
  const { timeMs } = await readPoint(trx, tenant);
  const charged = await findReservations(trx, tenant, attempts);
  await lockAccounts(
    trx,
    tenant,
    [...charged.values()].flatMap(({ charges }) => charges),
  );
  // As they stand behind the locks.
  const known = charged.size === 0 ? charged : await findReservations(trx, tenant, attempts);
  const states = new Map<string, ReservationState>();
  const changes: Change[] = [];
  const answers = asked.map(({ attempt, pep, to }): SettleResponse => {
    const reservation = known.get(attempt);
    if (!reservation || (pep !== undefined && reservation.pep !== pep)) {
      return { outcome: 'unknown' };
    }
    const state = states.get(attempt) ?? reservation.state;
    const due = to !== 'expired' || reservation.expires_ms < timeMs;
    const move = due ? MOVES[`${state} ${to}`] : undefined;
    const settled = move ? to : state;
    if (move) {
      states.set(attempt, to);
      changes.push(...reservation.charges.map((charge) => changeOf(charge, move)));
    }
    return { outcome: settled === 'reserved' ? 'unknown' : settled };
  });
  await setStates(trx, tenant, states);
  await addToAccounts(trx, tenant, changes);
  return answers;
}

function changeOf({ id, period, amount }: Charge, move: { spent: number; held: number }): Change {
  return { id, period, spent: move.spent * amount, held: move.held * amount };
}
