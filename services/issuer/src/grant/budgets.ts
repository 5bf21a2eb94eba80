import type { Budget } from '@remit/capability';
import {
  type BudgetDeclaration,
  type BudgetRegistration,
  canonicalText,
  exactAmount,
  sha256,
} from '@remit/contracts';
import { IssuerError } from '../error.ts';
import type { AllowedDecision } from './decision.ts';

/** Whose budgets a token has. */
export type Spenders = {
  readonly taskId: string;
  /** The agent that started the task. */
  readonly agent: string;
  readonly user: string;
};

/**
 * The budgets of a task's first tokens: `claims` for the token, `registrations` for the ledger, which
 * alone knows limits. Ids follow from whose budget it is, so that all tokens of a task, an agent or a
 * user have the same, and nobody has to remember them.
 */
export function budgetsOf(
  decision: AllowedDecision,
  spenders: Spenders,
  taskUntilSeconds: number,
): { claims: Budget[]; registrations: BudgetRegistration[] } {
  const declared = decision.task.budgets ?? [];
  const ids = declared.map((budget) => idOf(budget, spenders));
  return {
    claims: declared.map(({ unit, path }, at) => ({
      id: ids[at] as string,
      unit,
      ...(path === undefined ? {} : { path }),
    })),
    registrations: declared.map(({ per, unit, limit, every_seconds }, at) => ({
      id: ids[at] as string,
      unit,
      limit: amountOf(limit),
      revision: decision.registry_revision,
      ...(every_seconds === undefined ? {} : { every_seconds }),
      ...(per === 'token' || per === 'task' ? { until: taskUntilSeconds } : {}),
    })),
  };
}

/** Whether a token that a task started with is charged to all that the task type says by now. */
export function hasBudgets(first: readonly Budget[] = [], wanted: readonly Budget[]): boolean {
  return wanted.every(({ id, unit, path }) =>
    first.some((one) => one.id === id && one.unit === unit && one.path === path),
  );
}

function idOf({ name, per }: BudgetDeclaration, { taskId, agent, user }: Spenders): string {
  const spender = { token: taskId, task: taskId, agent, user }[per];
  return sha256(canonicalText(['budget', per, spender, name]));
}

function amountOf(limit: number): number {
  const amount = exactAmount(limit);
  if (amount !== undefined) return amount;
  throw new IssuerError('SERVICE_UNAVAILABLE', 'The decision is not complete.', {
    reason: 'pdp_unavailable',
  });
}
