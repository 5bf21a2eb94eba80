import type { AuditEvent } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import {
  type AdminRole,
  type PeopleAuth,
  type Person,
  tenantOf,
  WireError,
} from '@remit/service-kit';
import type { FastifyRequest } from 'fastify';

/** Facts of a query for its record; values are not personal. */
export type QueryFacts = Record<string, string | number | boolean>;

export type Guard = {
  /**
   * Lets an auditor or administrator of the tenant in, and leaves a record of what is asked before
   * it is answered: who reads the ledger is in the ledger. Returns the tenant.
   * Throws WireError `UNAUTHENTICATED`, `FORBIDDEN`, `TENANT_UNKNOWN`, `UNAVAILABLE`.
   */
  enter(request: FastifyRequest, facts?: QueryFacts): Promise<string>;
  /** Lets an administrator of the tenant in, and leaves a record of what is done before it is done. */
  administer(
    request: FastifyRequest,
    event: AuditEvent,
    facts: QueryFacts,
  ): Promise<{ tenant: string; person: Person }>;
};

const ROLES = ['remit-auditor', 'remit-admin'] as const;

export function createGuard(options: { people: PeopleAuth; recorder: Recorder }): Guard {
  const { people, recorder } = options;

  async function admit(
    request: FastifyRequest,
    role: readonly AdminRole[],
    event: AuditEvent,
    facts: QueryFacts,
  ): Promise<{ tenant: string; person: Person }> {
    const tenant = tenantOf(request);
    const route = request.routeOptions.url ?? '';
    try {
      const person = await people.require(request, { tenant, role });
      await recorder.record(tenant, {
        event,
        decision: 'allow',
        reason: 'permitted',
        principal: person.id,
        detail: { route, ...facts },
      });
      return { tenant, person };
    } catch (error) {
      if (error instanceof WireError && error.code === 'FORBIDDEN') {
        // The person is known to the identity provider, so this can't be flooded by strangers.
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
  }

  return {
    async enter(request, facts = {}) {
      const { tenant } = await admit(request, ROLES, 'admin.query', facts);
      return tenant;
    },
    administer: (request, event, facts) => admit(request, ['remit-admin'], event, facts),
  };
}
