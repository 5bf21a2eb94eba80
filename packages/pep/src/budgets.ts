import { randomBytes } from 'node:crypto';
import type { Bus, Verifier } from '@remit/bus';
import type { Operation } from '@remit/capability/scope';
import type { Budget } from '@remit/capability/token';
import {
  AMOUNT_SCALE,
  exactAmount,
  type Reason,
  type ReserveRequest,
  type ReserveResponse,
} from '@remit/contracts';
import { reasonOfHit } from './single-use.ts';
import type { VerifiedToken } from './verified-token.ts';

/**
 * What a call reserved from the budgets of its token. `unanswered`: asked, and no answer was had, so
 * it may be held until it expires; `unreadable`: a budget counts an argument that is no exact number.
 */
export type Spending = {
  /** Ids of the token's budgets. */
  budgets: readonly string[];
  outcome: ReserveResponse['outcome'] | 'unanswered' | 'unreadable';
  /** Names this call at the revocation service; absent when nothing was asked. */
  attempt?: string;
  /** The budget that refused. */
  refusedBy?: string;
};

export type Budgets = {
  /** Holds what the call spends. Never throws; anything but `permitted` refuses. */
  reserve(
    caller: VerifiedToken,
    budgets: readonly Budget[],
    operation: Operation,
  ): Promise<{ reason: 'permitted' | Reason; spending: Spending }>;
  /** Spends what is held; false unless that is certain. Never throws. */
  commit(attempt: string): Promise<boolean>;
  /** Gives back what is held or spent; whether that is certain. Never throws. */
  release(attempt: string): Promise<boolean>;
};

type Charges = ReserveRequest['charges'];

/**
 * Reserves, commits and releases at the revocation service, which has the one ledger. A call is
 * charged to every budget of its token: one call, or the number at the budget's path, which must be
 * there, exact and not negative.
 *
 * Each call names its attempt, under which the bus asks again a few times. Without an answer the call
 * is refused, and what may be held is given back, by a release or after it expired.
 * Does not compare units: a token type that takes several currencies needs a constraint for it.
 */
export function createBudgets(options: {
  bus: Pick<Bus, 'call'>;
  tenant: string;
  audience: string;
  verifier: Verifier;
  /** 128 random bits as base64url. Replaced only in tests. */
  newAttempt?: () => string;
}): Budgets {
  const { bus, tenant, audience, verifier } = options;
  const newAttempt = options.newAttempt ?? (() => randomBytes(16).toString('base64url'));

  async function release(attempt: string): Promise<boolean> {
    const answer = await bus
      .call('revocation.release', tenant, { attempt }, { verifier })
      .catch(() => undefined);
    return answer?.outcome === 'released';
  }

  return {
    async reserve({ capability, subjects }, budgets, operation) {
      const ids = budgets.map(({ id }) => id);
      const charges = chargesOf(budgets, operation.args);
      if (!charges) {
        return { reason: 'budget_amount', spending: { budgets: ids, outcome: 'unreadable' } };
      }
      const attempt = newAttempt();
      const token = { ...subjects, exp: capability.expiresAt, task_type: capability.task.type };
      const answer = await bus
        .call('revocation.reserve', tenant, { attempt, token, audience, charges }, { verifier })
        .catch(() => undefined);
      if (!answer) {
        void release(attempt);
        const spending: Spending = { budgets: ids, outcome: 'unanswered', attempt };
        return { reason: 'budget_unavailable', spending };
      }
      const { outcome, budget } = answer;
      return {
        reason: reasonOfAnswer(answer),
        spending: { budgets: ids, outcome, attempt, ...(budget ? { refusedBy: budget } : {}) },
      };
    },
    async commit(attempt) {
      const answer = await bus
        .call('revocation.commit', tenant, { attempt }, { verifier })
        .catch(() => undefined);
      return answer?.outcome === 'committed';
    },
    release,
  };
}

function reasonOfAnswer({ outcome, revoked }: ReserveResponse): 'permitted' | Reason {
  switch (outcome) {
    case 'reserved':
      return 'permitted';
    case 'exceeded':
      return 'budget_exceeded';
    case 'revoked':
      return reasonOfHit(revoked);
    case 'unknown':
    case 'ended':
      return 'budget_unavailable';
  }
}

function chargesOf(budgets: readonly Budget[], args: Operation['args']): Charges | undefined {
  const charges: Charges = [];
  for (const { id, unit, path } of budgets) {
    const amount = path === undefined ? AMOUNT_SCALE : exactAmount(valueAt(args, path));
    if (amount === undefined) return undefined;
    charges.push({ id, unit, amount });
  }
  return charges;
}

/** The value at keys joined by `.`; own members of objects only, never into an array. */
function valueAt(args: Operation['args'], path: string): unknown {
  let value: unknown = args;
  for (const key of path.split('.')) {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!isObject || !Object.hasOwn(value as object, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}
