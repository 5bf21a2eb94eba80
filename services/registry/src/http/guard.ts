import type { Recorder } from '@remit/recorder';
import {
  type AdminRole,
  type PeopleAuth,
  type Person,
  tenantOf,
  WireError,
} from '@remit/service-kit';
import type { FastifyRequest } from 'fastify';

export type Entered = { tenant: string; person: Person };

export type Guard = {
  /**
   * Lets a person with one of the roles in. Who is known to the identity provider and refused leaves
   * a record; strangers are counted by `people`. Throws WireError `UNAUTHENTICATED`, `FORBIDDEN`,
   * `TENANT_UNKNOWN`, `UNAVAILABLE`.
   */
  enter: (request: FastifyRequest, role: readonly AdminRole[]) => Promise<Entered>;
};

export function createGuard(options: { people: PeopleAuth; recorder: Recorder }): Guard {
  const { people, recorder } = options;
  return {
    enter: async (request, role) => {
      const tenant = tenantOf(request);
      const route = request.routeOptions.url ?? '';
      try {
        return { tenant, person: await people.require(request, { tenant, role }) };
      } catch (error) {
        const code = error instanceof WireError ? error.code : undefined;
        if (code === 'FORBIDDEN') {
          await recorder.record(tenant, {
            event: 'admin.refused',
            decision: 'deny',
            reason: 'person_not_allowed',
            detail: { route },
            trust: 'stranger',
          });
        }
        throw error;
      }
    },
  };
}
