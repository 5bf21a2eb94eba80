import type { Head } from '../cedar/head.ts';
import { resourceAncestors } from '../cedar/request.ts';
import { actionGroups } from '../cedar/schema.ts';

type Side = Head['action'];

/** Does every request that the one head speaks about lie in the other? Never wrongly; `false` may be unsure. */
export function covers(wide: Head, narrow: Head): boolean {
  return (
    side(wide.principal, narrow.principal, () => []) &&
    side(wide.action, narrow.action, groupsOf) &&
    side(wide.resource, narrow.resource, resourceAncestors)
  );
}

function side(wide: Side, narrow: Side, ancestors: (id: string) => readonly string[]): boolean {
  if (wide.op === 'any') return true;
  if (wide.op === 'never' || narrow.op === 'any' || narrow.op === 'never') return false;
  // Below an entity lies more than itself.
  if (wide.op === 'eq') return narrow.op === 'eq' && narrow.id === wide.id;
  const ids = narrow.op === 'eq' ? [narrow.id] : narrow.ids;
  return ids.every((id) => wide.ids.some((named) => named === id || ancestors(id).includes(named)));
}

/** A group `orders.**` lies in the groups of its own prefixes. */
function groupsOf(action: string): string[] {
  return actionGroups(action.endsWith('.**') ? action.slice(0, -'.**'.length) : action);
}
