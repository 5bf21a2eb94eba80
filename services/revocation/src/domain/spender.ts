import type { ReserveResponse, SettleResponse } from '@remit/contracts';
import type { Database, Logger } from '@remit/service-kit';
import { forgetBudgets, overdue } from '../store/budgets.ts';
import type { Tables } from '../store/tables.ts';
import { createBatches, isDataError } from './batches.ts';
import { RESERVATION_SECONDS } from './lifetimes.ts';
import { type ReservationAsked, type Reserved, reserveAll } from './reserve.ts';
import { type Settlement, settleAll } from './settle.ts';

export type Spender = {
  /** Holds what a call will spend and answers when that is committed. */
  reserve(tenant: string, asked: ReservationAsked): Promise<ReserveResponse>;
  settle(tenant: string, asked: Settlement): Promise<SettleResponse>;
  /** Gives back what was held too long; counts the reservations. */
  expire(): Promise<number>;
  /** Deletes what no call needs any more; counts the rows. */
  forget(): Promise<number>;
  /** Expires every second and forgets every minute until it is stopped. */
  start(): { stop(): void };
};

export type SpenderEvents = {
  reserved(outcome: ReserveResponse['outcome'] | 'refused'): void;
  settled(outcome: SettleResponse['outcome']): void;
};

/** Requests in one transaction at most. */
const MAX_BATCH = 64;
/** Overdue reservations that are looked for at once. */
const OVERDUE_AT_ONCE = 500;
const EXPIRE_EVERY_MS = 1_000;
const FORGET_EVERY_MS = 60_000;

/** The ledger of budgets: what PEPs reserve, commit and release, and what ends by itself. */
export function createSpender(options: {
  database: Database<Tables>;
  log: Logger;
  holdSeconds?: number;
  on?: SpenderEvents;
}): Spender {
  const { database, log, on, holdSeconds = RESERVATION_SECONDS } = options;
  const reserve = createBatches<ReservationAsked, Reserved>({
    run: (tenant, asked) =>
      database.withTenant(tenant, (trx) => reserveAll(trx, tenant, asked, { holdSeconds })),
    isApart: isDataError,
    maxItems: MAX_BATCH,
  });
  const settle = createBatches<Settlement, SettleResponse>({
    run: (tenant, asked) => database.withTenant(tenant, (trx) => settleAll(trx, tenant, asked)),
    isApart: isDataError,
    maxItems: MAX_BATCH,
  });

  async function settled(tenant: string, asked: Settlement): Promise<SettleResponse> {
    const answer = await settle(tenant, asked);
    on?.settled(answer.outcome);
    return answer;
  }

  async function expire(): Promise<number> {
    let expired = 0;
    for (const [tenant, attempts] of await overdue(database, OVERDUE_AT_ONCE)) {
      const answers = await Promise.all(
        attempts.map((attempt) => settled(tenant, { attempt, to: 'expired' })),
      );
      expired += answers.filter(({ outcome }) => outcome === 'expired').length;
    }
    return expired;
  }

  function every(ms: number, what: string, job: () => Promise<unknown>): () => void {
    let running = false;
    const timer = setInterval(() => {
      if (running) return;
      running = true;
      job()
        .catch((error: unknown) => log.warn({ err: error }, `${what} failed`))
        .finally(() => {
          running = false;
        });
    }, ms);
    return () => clearInterval(timer);
  }

  return {
    async reserve(tenant, asked) {
      const result = await reserve(tenant, asked);
      if ('refused' in result) {
        on?.reserved('refused');
        throw result.refused;
      }
      on?.reserved(result.answer.outcome);
      return result.answer;
    },
    settle: settled,
    expire,
    forget: () => forgetBudgets(database),
    start() {
      const stops = [
        every(EXPIRE_EVERY_MS, 'giving back what was held too long', expire),
        every(FORGET_EVERY_MS, 'deleting old budgets', () => forgetBudgets(database)),
      ];
      return { stop: () => stops.forEach((stop) => stop()) };
    },
  };
}
