import { closed, text } from '@remit/contracts';
import { tenantParam, type WireError, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { PdpError } from '../errors.ts';
import { MAX_SET_BYTES } from '../policies/files.ts';
import type { Policies } from '../policies/policies.ts';
import type { Admit } from './admit.ts';

const uploadBody = closed({
  message: text(1_000),
  files: Type.Record(
    Type.String({ minLength: 1, maxLength: 128 }),
    Type.String({ maxLength: MAX_SET_BYTES }),
    { minProperties: 1, maxProperties: 256 },
  ),
});
const params = closed({ tenant: tenantParam });
const versionParams = closed({ tenant: tenantParam, version: text(64) });

/** JSON escapes at most double what a set may hold. */
const BODY_LIMIT_BYTES = 2 * MAX_SET_BYTES;

/**
 * Policy sets of a tenant, for administrators: upload makes an immutable version after its checks and
 * tests, activate makes one decide. An auditor may list.
 */
export function policyRoutes(
  http: FastifyInstance,
  { policies, admit }: { policies: Policies; admit: Admit },
): void {
  http.post(
    '/t/:tenant/admin/v1/policies',
    { schema: { params, body: uploadBody }, bodyLimit: BODY_LIMIT_BYTES },
    async (request, reply) => {
      const { tenant, person } = await admit(request, ['remit-admin']);
      const { message, files } = request.body as Static<typeof uploadBody>;
      const made = await policies
        .upload({ tenant, author: person.id, message, files: { ...files } })
        .catch(asWireError);
      void reply.code(made.created ? 201 : 200);
      return made;
    },
  );

  http.post(
    '/t/:tenant/admin/v1/policies/:version/activate',
    { schema: { params: versionParams } },
    async (request) => {
      const { tenant, person } = await admit(request, ['remit-admin']);
      const { version } = request.params as { version: string };
      return policies.activate({ tenant, version, by: person.id }).catch(asWireError);
    },
  );

  http.get('/t/:tenant/admin/v1/policies', { schema: { params } }, async (request) => {
    const { tenant } = await admit(request, ['remit-admin', 'remit-auditor']);
    return policies.list(tenant);
  });
}

function asWireError(error: unknown): never {
  throw error instanceof PdpError ? wire(error) : error;
}

/** Positions and reasons go to the administrator who sent the files; nothing else does. */
function wire(error: PdpError): WireError | PdpError {
  if (error.code === 'POLICY_INVALID')
    return wireError('POLICY_INVALID', {
      extra: { problems: error.details.problems },
      cause: error,
    });
  if (error.code === 'POLICY_VERSION_UNKNOWN') return wireError('NOT_FOUND', { cause: error });
  return error;
}
