import { closed } from '@remit/contracts';
import { type Database, tenantParam, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import type { AuditTables } from '../store/tables.ts';
import { taskRecords } from '../store/task.ts';
import type { Guard } from './guard.ts';
import { taskTree } from './task-tree.ts';

const params = closed({
  tenant: tenantParam,
  id: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
});

const MAX_RECORDS = 2_000;

/**
 * `GET /t/:tenant/tasks/:id`: a task as the tree of its tokens, with the calls of each, how they ended,
 * and what was revoked since. Only for auditors; leaves a record.
 */
export function taskRoute(
  http: FastifyInstance,
  { database, guard }: { database: Database<AuditTables>; guard: Guard },
): void {
  http.get<{ Params: Static<typeof params> }>(
    '/t/:tenant/tasks/:id',
    { schema: { params } },
    async (request) => {
      const { id } = request.params;
      const tenant = await guard.enter(request, { task: id });
      const { records, revocations, truncated } = await database.withTenant(
        tenant,
        (trx) => taskRecords(trx, tenant, id, MAX_RECORDS),
        { isolation: 'repeatable read', readOnly: true },
      );
      if (records.length === 0) throw wireError('NOT_FOUND');
      return { ...taskTree(id, records, revocations), truncated };
    },
  );
}
