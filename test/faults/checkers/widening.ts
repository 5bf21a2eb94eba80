import type { History, TokenSeen } from '../history.ts';
import { callsOf, tokensOf, type Violation } from './model.ts';

/** I5. An allowed call is within what its token and every known ancestor of it say. */
export function nothingWidens(history: History): Violation[] {
  const tokens = tokensOf(history);
  return callsOf(history).flatMap(
    ({ allowed, token: id, pep, call, action, resource, startedAt }) => {
      const token = tokens.get(id);
      if (!allowed || !token) return [];
      const chain = [token, ...token.lineage.flatMap((ancestor) => tokens.get(ancestor) ?? [])];
      const against = chain.find((each) => !naivelyPermits(each, action, resource));
      return against
        ? [
            {
              invariant: 'I5' as const,
              t: startedAt,
              says: `${pep} allowed ${call}: ${action} on ${resource}, which ${against.token} does not say`,
            },
          ]
        : [];
    },
  );
}

/** Deliberately naive, and written apart from the algebra: names as text, `*` as any one segment. */
function naivelyPermits(token: TokenSeen, action: string, resource: string): boolean {
  return token.permissions.some(
    ({ actions, resources }) =>
      actions.some((pattern) => alike(pattern, action, '.')) &&
      resources.some((pattern) => alike(pattern, resource, '/')),
  );
}

function alike(pattern: string, name: string, separator: string): boolean {
  const wanted = pattern.split(separator);
  const given = name.split(separator);
  if (wanted.length !== given.length) return false;
  return wanted.every((segment, at) => segment === '*' || segment === given[at]);
}
