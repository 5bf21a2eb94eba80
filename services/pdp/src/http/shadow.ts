import { closed, text } from '@remit/contracts';
import { tenantParam } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Shadow } from '../policies/shadow.ts';
import type { Admit } from './admit.ts';
import { asWireError } from './policies.ts';

const params = closed({ tenant: tenantParam });
const versionParams = closed({ tenant: tenantParam, version: text(64) });
const query = closed({
  version: Type.Optional(text(64)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
});
const DEFAULT_LIMIT = 50;

/** A version in shadow: begun and ended by administrators, its results for auditors too. */
export function shadowRoutes(
  http: FastifyInstance,
  { shadow, admit }: { shadow: Shadow; admit: Admit },
): void {
  http.post(
    '/t/:tenant/admin/v1/policies/:version/shadow',
    { schema: { params: versionParams } },
    async (request) => {
      const { tenant, person } = await admit(request, ['remit-admin']);
      const { version } = request.params as { version: string };
      await shadow.set({ tenant, version, by: person.id }).catch(asWireError);
      return { shadow: version };
    },
  );

  http.delete('/t/:tenant/admin/v1/policies/shadow', { schema: { params } }, async (request) => {
    const { tenant, person } = await admit(request, ['remit-admin']);
    await shadow.set({ tenant, version: null, by: person.id }).catch(asWireError);
    return { shadow: null };
  });

  http.get(
    '/t/:tenant/admin/v1/policies/shadow',
    { schema: { params, querystring: query } },
    async (request) => {
      const { tenant } = await admit(request, ['remit-admin', 'remit-auditor']);
      const { version, limit = DEFAULT_LIMIT } = request.query as Static<typeof query>;
      return shadow.results(tenant, { version, limit });
    },
  );
}
