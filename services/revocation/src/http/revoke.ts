import { closed, type RevokeRequest, revocationKind, text } from '@remit/contracts';
import { type Kit, tenantOf, tenantParam, wireError } from '@remit/service-kit';
import { type Static, Type } from 'typebox';
import type { Revoker } from '../domain/revoker.ts';

const body = closed({
  kind: revocationKind,
  id: text(),
  reason: Type.Optional(text(256)),
});

/**
 * `POST /t/:tenant/revoke` for people: an administrator anything of the tenant, everybody else tasks
 * of their own. Answers when the revocation is committed. The same refusal for a task of somebody
 * else and for one that doesn't exist.
 */
export function revokeRoute(
  { http, people }: Pick<Kit<unknown>, 'http' | 'people'>,
  revoker: Revoker,
): void {
  http.post(
    '/t/:tenant/revoke',
    { schema: { params: closed({ tenant: tenantParam }), body } },
    async (request) => {
      const tenant = tenantOf(request);
      const person = await people.require(request, { tenant });
      const asked: RevokeRequest = {
        ...(request.body as Static<typeof body>),
        by: { kind: 'user', id: person.id },
      };
      const allowed =
        person.roles.includes('remit-admin') ||
        (asked.kind === 'task' && (await revoker.owns(tenant, person.id, asked.id)));
      if (!allowed) {
        await revoker.refused(tenant, asked);
        throw wireError('FORBIDDEN');
      }
      return revoker.revoke(tenant, asked);
    },
  );
}
