import type { Recorder } from '@remit/recorder';
import {
  type AdminRole,
  type PeopleAuth,
  type Person,
  tenantOf,
  WireError,
} from '@remit/service-kit';
import type { FastifyRequest } from 'fastify';

export type Admit = (
  request: FastifyRequest,
  roles: readonly AdminRole[],
) => Promise<{ tenant: string; person: Person }>;

/**
 * Lets a person with one of the roles in and leaves a record of one who has none of them.
 * Throws WireError `UNAUTHENTICATED`, `FORBIDDEN`, `TENANT_UNKNOWN`, `UNAVAILABLE`.
 */
export function createAdmit(people: PeopleAuth, recorder: Recorder): Admit {
  return async (request, roles) => {
    const tenant = tenantOf(request);
    try {
      return { tenant, person: await people.require(request, { tenant, role: roles }) };
    } catch (error) {
      if (error instanceof WireError && error.code === 'FORBIDDEN') {
        await recorder.record(tenant, {
          event: 'admin.refused',
          decision: 'deny',
          reason: 'person_not_allowed',
          detail: { route: request.routeOptions.url ?? '' },
          trust: 'stranger',
        });
      }
      throw error;
    }
  };
}
