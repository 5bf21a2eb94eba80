import { isDeepStrictEqual } from 'node:util';
import { type BudgetDeclaration, CALLS, exactAmount } from '@remit/contracts';
import type { TaskTypeFile } from './schemas.ts';
import { loadError } from './yaml-file.ts';

/**
 * Checks the budgets of all task types: names once each, exact limits, and that a budget over an
 * argument is one that every call has, since a call without it is refused. What an agent or a user
 * shares over several task types must be declared alike in each. Throws RegistryError `LOAD_INVALID`.
 */
export function checkBudgets(tenant: string, taskTypes: readonly TaskTypeFile[]): void {
  const shared = new Map<string, { budget: BudgetDeclaration; taskType: string }>();
  for (const taskType of taskTypes) {
    const file = `${tenant}/task-types/${taskType.id}.yaml`;
    const names = new Set<string>();
    for (const [at, budget] of (taskType.budgets ?? []).entries()) {
      const { name, per } = budget;
      if (names.has(name)) throw loadError(file, `/budgets names ${name} twice`);
      names.add(name);
      checkBudget(file, at, budget, taskType);
      if (per === 'token' || per === 'task') continue;
      const key = `${per} ${name}`;
      const other = shared.get(key);
      if (other && !isDeepStrictEqual(other.budget, budget)) {
        throw loadError(
          file,
          `/budgets/${at} is not what ${other.taskType} says of the budget ${name} per ${per}`,
        );
      }
      shared.set(key, { budget, taskType: taskType.id });
    }
  }
}

function checkBudget(
  file: string,
  at: number,
  { path, unit, limit }: BudgetDeclaration,
  taskType: TaskTypeFile,
): void {
  if (exactAmount(limit) === undefined) {
    throw loadError(file, `/budgets/${at}/limit has more than four decimals`);
  }
  if ((path === undefined) !== (unit === CALLS)) {
    throw loadError(file, `/budgets/${at} counts ${CALLS}, or a path in another unit`);
  }
  if (path === undefined) return;
  for (const [n, { constraints = {} }] of taskType.permissions.entries()) {
    const tests = Object.hasOwn(constraints, path) ? constraints[path] : undefined;
    const isGiven = tests && tests['optional'] !== true && tests['absent'] !== true;
    if (isGiven) continue;
    const why = `/permissions/${n} does not require ${path}, which a budget counts in every call`;
    throw loadError(file, why);
  }
}
