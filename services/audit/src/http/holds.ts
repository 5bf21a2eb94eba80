import { randomUUIDv7 } from 'node:crypto';
import { closed, text } from '@remit/contracts';
import { type Database, tenantParam, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import {
  activeHolds,
  type Erasable,
  erase,
  isErasureHeld,
  placeHold,
  releaseHold,
} from '../store/holds.ts';
import type { AuditTables } from '../store/tables.ts';
import type { Guard } from './guard.ts';
import { type IdParams, idParams, instant, isPlainText } from './records.ts';

const params = closed({ tenant: tenantParam });
const holdBody = closed({
  user: Type.Optional(text(512)),
  task: Type.Optional(text(64)),
  from: instant,
  to: instant,
  reason: text(512),
});
const erasureBody = closed({
  user: Type.Optional(text(512)),
  record: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' })),
});

/**
 * `GET` and `POST /t/:tenant/holds`, `DELETE /holds/:id`, `POST /erasures`. Only for administrators;
 * each leaves a record first. While a hold names a record, retention keeps it and its personal values
 * are not erased.
 */
export function holdRoutes(
  http: FastifyInstance,
  options: { database: Database<AuditTables>; guard: Guard },
): void {
  const { database, guard } = options;

  http.get('/t/:tenant/holds', { schema: { params } }, async (request) => {
    const tenant = await guard.enter(request);
    return {
      holds: await database.withTenant(tenant, (trx) => activeHolds(trx, tenant), {
        readOnly: true,
      }),
    };
  });

  http.post<{ Body: Static<typeof holdBody> }>(
    '/t/:tenant/holds',
    { schema: { params, body: holdBody } },
    async (request, reply) => {
      const { reason, ...what } = request.body;
      for (const value of Object.values(request.body)) {
        if (!isPlainText(value)) throw wireError('INVALID_REQUEST');
      }
      const id = randomUUIDv7();
      // What is held is told by its kind: a user's name is personal.
      const by = Object.keys(what).toSorted().join(' ') || 'tenant';
      const { tenant, person } = await guard.administer(request, 'admin.hold_placed', { id, by });
      await database.withTenant(tenant, (trx) =>
        placeHold(trx, tenant, { ...what, id, reason, by: person.id }),
      );
      return reply.code(201).send({ id });
    },
  );

  http.delete<{ Params: IdParams }>(
    '/t/:tenant/holds/:id',
    { schema: { params: idParams } },
    async (request) => {
      const { id } = request.params;
      const { tenant, person } = await guard.administer(request, 'admin.hold_released', { id });
      const released = await database.withTenant(tenant, (trx) =>
        releaseHold(trx, tenant, id, person.id),
      );
      if (!released) throw wireError('NOT_FOUND');
      return { id };
    },
  );

  http.post<{ Body: Static<typeof erasureBody> }>(
    '/t/:tenant/erasures',
    { schema: { params, body: erasureBody } },
    async (request) => {
      const { user, record } = request.body;
      if ((user === undefined) === (record === undefined) || !isPlainText(user)) {
        throw wireError('INVALID_REQUEST', { detail: 'Name either a user or a record.' });
      }
      const what: Erasable = user === undefined ? { record: record ?? '' } : { user };
      const { tenant } = await guard.administer(request, 'admin.erasure', {
        by: user === undefined ? 'record' : 'user',
        ...(record === undefined ? {} : { record }),
      });
      return database.withTenant(tenant, async (trx) => {
        if (await isErasureHeld(trx, tenant, what)) {
          throw wireError('CONFLICT', { detail: 'A legal hold names what would be erased.' });
        }
        return erase(trx, tenant, what);
      });
    },
  );
}
