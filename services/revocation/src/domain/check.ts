import type { CheckResponse, RevocationKind } from '@remit/contracts';
import type { Point } from '../store/point.ts';
import type { Named, NamedRevocation } from '../store/revocations.ts';

type Hit = NonNullable<CheckResponse['revoked']>;

/** Kinds whose revocation refuses whatever names them, whatever its `rev`. */
const FOR_EVER: ReadonlySet<RevocationKind> = new Set(['token', 'link', 'task', 'key']);

/**
 * The first revocation that hits what is about to be used. One of an agent, user, client or the
 * tenant hits only a token decided before it: who may act again gets a new token, so tasks and keys
 * by themselves aren't hit. A token of another epoch, or ahead of the head, is dead as its tenant's.
 */
export function firstHit(
  tenant: string,
  point: Pick<Point, 'epoch' | 'seq'>,
  named: Named,
  revocations: readonly NamedRevocation[],
): Hit | undefined {
  const { tokens } = named;
  for (const { rev } of tokens) {
    if (rev.epoch !== point.epoch || rev.seq > point.seq) {
      return { kind: 'tenant', id: tenant, ancestor: false };
    }
  }
  for (const { kind, id, last } of revocations) {
    if (FOR_EVER.has(kind)) {
      const own = tokens.some(({ jti }) => jti === id);
      const ancestor = (kind === 'token' || kind === 'link') && !own;
      return { kind, id, ancestor };
    }
    const hit = tokens.some(
      (token) => token.rev.seq < last && names(tenant, token, kind).includes(id),
    );
    if (hit) return { kind, id, ancestor: false };
  }
  return undefined;
}

/** Those that name one of several tokens that were looked up together. */
export function naming(
  tenant: string,
  token: Named['tokens'][number],
  revocations: readonly NamedRevocation[],
): NamedRevocation[] {
  return revocations.filter(({ kind, id }) => {
    if (kind === 'token' || kind === 'link') return id === token.jti || token.lineage.includes(id);
    if (kind === 'task') return id === token.task;
    if (kind === 'key') return token.keys.includes(id);
    return names(tenant, token, kind).includes(id);
  });
}

function names(
  tenant: string,
  token: Named['tokens'][number],
  kind: RevocationKind,
): readonly string[] {
  if (kind === 'agent') return token.actors;
  if (kind === 'user') return [token.user];
  if (kind === 'client') return [token.client];
  return [tenant];
}
