import { closed, text } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import { tenantParam, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { ChangeWriter } from '../store/changes.ts';
import type { RegistryDatabase, StoreDirectory } from '../store/directory.ts';
import { setStatus } from '../store/status.ts';
import type { Guard } from './guard.ts';

const params = closed({ tenant: tenantParam, id: text(128) });
type Params = Static<typeof params>;

/** Verb of a route → what it makes of its target. */
const VERBS = [
  { entity: 'user', path: 'users', verb: 'disable', status: 'inactive' },
  { entity: 'user', path: 'users', verb: 'enable', status: 'active' },
  { entity: 'agent', path: 'agents', verb: 'suspend', status: 'inactive' },
  { entity: 'agent', path: 'agents', verb: 'resume', status: 'active' },
] as const;

/**
 * Administration by people of the tenant. A change is recorded before it is committed: what cannot
 * be recorded does not happen.
 */
export function adminRoutes(
  http: FastifyInstance,
  options: {
    database: RegistryDatabase;
    directory: StoreDirectory;
    writer: ChangeWriter;
    guard: Guard;
    recorder: Recorder;
  },
): void {
  const { database, directory, writer, guard, recorder } = options;

  http.get<{ Params: Params }>('/t/:tenant/users/:id', { schema: { params } }, async (request) => {
    const { tenant } = await guard.enter(request, ['remit-admin', 'remit-auditor']);
    const { id } = request.params;
    const found = await directory.lookup(tenant, { actors: [], user: { id } });
    if (!found.user) throw wireError('NOT_FOUND');
    const user = await directory.body(tenant, found.user.body, 'user');
    const roles = await Promise.all(
      found.user.roles.map(async (digest) => (await directory.body(tenant, digest, 'role')).id),
    );
    return { id, status: found.user.status, groups: user.groups, roles, revision: found.revision };
  });

  for (const { entity, path, verb, status } of VERBS) {
    http.post<{ Params: Params }>(
      `/t/:tenant/${path}/:id/${verb}`,
      { schema: { params } },
      async (request) => {
        const { tenant, person } = await guard.enter(request, ['remit-admin']);
        const { id } = request.params;
        const done = await database.withTenant(tenant, async (trx) => {
          const change = await setStatus(trx, writer, { tenant, entity, id, status });
          await recorder.record(tenant, {
            event: 'admin.registry_changed',
            decision: 'allow',
            reason: 'permitted',
            principal: person.id,
            operation: {
              action: `registry.${path}.${verb}`,
              resource: `registry/${path}`,
              args: { id },
            },
            registry_revision: change.revision,
            detail: { changed: change.changed },
          });
          return change;
        });
        return { id, status: done.status, revision: done.revision };
      },
    );
  }
}
