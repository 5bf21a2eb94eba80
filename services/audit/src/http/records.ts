import { closed, oneOf } from '@remit/contracts';
import { type Database, tenantParam, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { findRecords, recordsById } from '../store/read.ts';
import type { AuditTables } from '../store/tables.ts';
import type { Guard, QueryFacts } from './guard.ts';
import { presentRecord } from './present.ts';

const filter = (maxLength = 256) => Type.Optional(Type.String({ minLength: 1, maxLength }));
export const instant = Type.Optional(
  Type.String({
    pattern:
      '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?Z$',
  }),
);

/** What records can be asked for by; every filter that is given must hold. */
export const recordFilters = {
  task: filter(64),
  agent: filter(),
  user: filter(512),
  event: filter(64),
  decision: Type.Optional(oneOf('allow', 'deny')),
  reason: filter(64),
  action: filter(512),
  resource: filter(1_024),
  token: filter(64),
  from: instant,
  to: instant,
};
const query = closed({
  ...recordFilters,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
  cursor: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,24}$' })),
});
type Query = Static<typeof query>;

const params = closed({ tenant: tenantParam });
export const idParams = closed({
  tenant: tenantParam,
  id: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
});
export type IdParams = Static<typeof idParams>;

const DEFAULT_LIMIT = 50;

/** `GET /t/:tenant/records` and `/records/:id`. Only for auditors; each query leaves a record. */
export function recordRoutes(
  http: FastifyInstance,
  options: { database: Database<AuditTables>; guard: Guard },
): void {
  const { database, guard } = options;

  http.get<{ Querystring: Query }>(
    '/t/:tenant/records',
    { schema: { params, querystring: query } },
    async (request) => {
      const { limit = DEFAULT_LIMIT, cursor, ...filters } = request.query;
      const before = cursor === undefined ? undefined : readCursor(cursor);
      const tenant = await guard.enter(request, filterFacts(checkedFilters(filters)));
      const found = await database.withTenant(
        tenant,
        (trx) =>
          findRecords(trx, tenant, {
            ...filters,
            limit: limit + 1,
            ...(before === undefined ? {} : { before }),
          }),
        { readOnly: true },
      );
      const page = found.slice(0, limit);
      const last = page.at(-1);
      const next = found.length > limit && last ? { next: writeCursor(last.seq) } : {};
      return { records: page.map(presentRecord), ...next };
    },
  );

  http.get<{ Params: IdParams }>(
    '/t/:tenant/records/:id',
    { schema: { params: idParams } },
    async (request) => {
      const { id } = request.params;
      const tenant = await guard.enter(request, { id });
      const found = await database.withTenant(tenant, (trx) => recordsById(trx, tenant, id), {
        readOnly: true,
      });
      const [first, ...others] = found.map(presentRecord);
      if (first === undefined) throw wireError('NOT_FOUND');
      // Producers choose ids: what another one wrote under the same is shown beside.
      return others.length === 0 ? first : { ...first, same_id: others };
    },
  );
}

type Filters = Omit<Query, 'cursor' | 'limit'>;

/** Throws WireError `INVALID_REQUEST` for text that no record can hold. */
export function checkedFilters(filters: Filters): Filters {
  for (const value of Object.values(filters)) {
    if (!isPlainText(value)) throw wireError('INVALID_REQUEST');
  }
  return filters;
}

/** What a query's own record says of its filters: not the user, who is personal. */
export function filterFacts({ user, ...facts }: Filters): QueryFacts {
  return { ...facts, ...(user === undefined ? {} : { by_user: true }) };
}

/** PostgreSQL takes neither a NUL nor half a surrogate pair. */
export function isPlainText(value: string | undefined): boolean {
  return value === undefined || (value.isWellFormed() && !value.includes('\u0000'));
}

function writeCursor(seq: number): string {
  return Buffer.from(String(seq)).toString('base64url');
}

function readCursor(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const seq = Number(text);
  if (!/^[1-9][0-9]{0,15}$/.test(text) || !Number.isSafeInteger(seq)) {
    throw wireError('INVALID_REQUEST', { detail: 'The cursor is not one of an earlier page.' });
  }
  return seq;
}
