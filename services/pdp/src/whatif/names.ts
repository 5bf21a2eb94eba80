import { parseOperation, permits, type Scope, scope } from '@remit/capability';
import type { PermissionJson, TaskTypeBody } from '@remit/contracts';

/**
 * The permissions of a scope that speak about an action on a resource, whatever the arguments: with the
 * right ones each may admit it.
 */
export function naming(of: Scope, action: string, resource: string): PermissionJson[] {
  return of.permissions
    .filter(({ actions, resources }) => {
      const open = scope([{ actions: [...actions], resources: [...resources], args: 'any' }]);
      return permits(open, parseOperation({ action, resource, args: {} })).ok;
    })
    .map((permission) => structuredClone(permission) as PermissionJson);
}

/** The permissions of a task type that some filling of its slots makes speak about it. */
export function namingTemplate(
  taskType: TaskTypeBody,
  action: string,
  resource: string,
): PermissionJson[] {
  const open = (name: string): string => name.replace(/\{[a-z][a-z0-9_]{0,31}\}/g, '*');
  return taskType.permissions.filter((permission) => {
    const { actions, resources } = permission;
    const widest = scope([
      { actions: actions.map(open), resources: resources.map(open), args: 'any' },
    ]);
    return permits(widest, parseOperation({ action, resource, args: {} })).ok;
  });
}
