import { closed, text } from '@remit/contracts';
import { tenantParam, type WireError, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { PdpError } from '../errors.ts';
import { differenceOf } from '../policies/difference.ts';
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
const checkBody = closed({ files: uploadBody.properties.files });
const rollbackBody = closed({ from: Type.Optional(text(64)) });
const against = closed({ against: Type.Optional(text(64)) });
const params = closed({ tenant: tenantParam });
const versionParams = closed({ tenant: tenantParam, version: text(64) });

/** JSON escapes at most double what a set may hold. */
const BODY_LIMIT_BYTES = 2 * MAX_SET_BYTES;

/**
 * Policy sets of a tenant, for administrators: check only says what an upload would, upload makes an
 * immutable version after its checks and tests, activate makes one decide, rollback the one before.
 * An auditor may list, read and compare.
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

  http.post(
    '/t/:tenant/admin/v1/policies/check',
    { schema: { params, body: checkBody }, bodyLimit: BODY_LIMIT_BYTES },
    async (request) => {
      const { tenant } = await admit(request, ['remit-admin', 'remit-auditor']);
      const { files } = request.body as Static<typeof checkBody>;
      return policies.check({ tenant, files: { ...files } }).catch(asWireError);
    },
  );

  http.post(
    '/t/:tenant/admin/v1/policies/rollback',
    { schema: { params, body: rollbackBody } },
    async (request) => {
      const { tenant, person } = await admit(request, ['remit-admin']);
      const { from } = request.body as Static<typeof rollbackBody>;
      return policies.rollback({ tenant, by: person.id, from }).catch(asWireError);
    },
  );

  http.get(
    '/t/:tenant/admin/v1/policies/:version/files',
    { schema: { params: versionParams } },
    async (request) => {
      const { tenant } = await admit(request, ['remit-admin', 'remit-auditor']);
      const { version } = request.params as { version: string };
      return { version, files: await policies.files(tenant, version).catch(asWireError) };
    },
  );

  http.get(
    '/t/:tenant/admin/v1/policies/:version/diff',
    { schema: { params: versionParams, querystring: against } },
    async (request) => {
      const { tenant } = await admit(request, ['remit-admin', 'remit-auditor']);
      const { version } = request.params as { version: string };
      const { against: other } = request.query as Static<typeof against>;
      const [before, after] = await Promise.all([
        other === undefined ? policies.active(tenant) : policies.get(tenant, other),
        policies.get(tenant, version),
      ]).catch(asWireError);
      return differenceOf(before, after);
    },
  );

  http.get('/t/:tenant/admin/v1/policies', { schema: { params } }, async (request) => {
    const { tenant } = await admit(request, ['remit-admin', 'remit-auditor']);
    return policies.list(tenant);
  });
}

/** PdpErrors as an administrator is told them; everything else as it is. */
export function asWireError(error: unknown): never {
  throw error instanceof PdpError ? wire(error) : error;
}

/** Positions and reasons go to the administrator who sent the files; nothing else does. */
function wire(error: PdpError): WireError | PdpError {
  if (error.code === 'POLICY_INVALID')
    return wireError('POLICY_INVALID', {
      extra: { problems: error.details.problems },
      cause: error,
    });
  if (error.code === 'POLICY_NOT_ACTIVE')
    return wireError('CONFLICT', { detail: error.message, cause: error });
  if (error.code === 'NOT_REPLAYABLE')
    return wireError('INVALID_REQUEST', { detail: error.message, cause: error });
  if (error.code === 'POLICY_VERSION_UNKNOWN') return wireError('NOT_FOUND', { cause: error });
  return error;
}
