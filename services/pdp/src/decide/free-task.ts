import { type AgentBody, FREE_TASK_TYPE, type TaskTypeBody } from '@remit/contracts';

/** The terms of every free task: short, and never handed on. */
const FREE_TASK: TaskTypeBody = Object.freeze({
  kind: 'task-type',
  id: FREE_TASK_TYPE,
  purpose: 'A free task',
  slots: {},
  permissions: [],
  until_seconds: 900,
  token_seconds: 300,
  depth_max: 0,
  single_use: false,
  links: false,
});

/**
 * What stands in the place of a task type where a task was started from a list of permissions; only
 * while the registry lets its first agent do so. Undefined for any other type.
 */
export function freeTask(
  type: string | undefined,
  origin: AgentBody | undefined,
): TaskTypeBody | undefined {
  return type === FREE_TASK_TYPE && origin?.free_tasks === true ? FREE_TASK : undefined;
}
