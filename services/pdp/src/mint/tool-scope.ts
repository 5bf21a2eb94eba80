import { parseOperation, type Scope, ScopeError, scope } from '@remit/capability';
import type { ToolBody } from '@remit/contracts';

const ACTIONS_PER_PERMISSION = 64;

/** All that a tool can do: its literal actions on anything. */
export function toolScope(tool: ToolBody): Scope {
  const actions = tool.actions.filter(isAction);
  const permissions: unknown[] = [];
  for (let i = 0; i < actions.length; i += ACTIONS_PER_PERMISSION) {
    const some = actions.slice(i, i + ACTIONS_PER_PERMISSION);
    permissions.push({ actions: some, resources: ['**'], args: 'any' });
  }
  return scope(permissions);
}

function isAction(action: string): boolean {
  try {
    return parseOperation({ action, resource: 'a', args: {} }).action === action;
  } catch (error) {
    if (error instanceof ScopeError) return false;
    throw error;
  }
}
