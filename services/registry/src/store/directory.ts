import { conform, type LookupRequest, type LookupResponse, lookupResponse } from '@remit/contracts';
import {
  type Database,
  type Directory,
  readBody,
  requireKind,
  wireError,
} from '@remit/service-kit';
import { sql } from 'kysely';
import type { RegistryTables } from './tables.ts';

export type RegistryDatabase = Database<RegistryTables>;

export type StoreDirectory = Directory & {
  /** The text of a body. Throws WireError `NOT_FOUND`. */
  bodyText: (tenant: string, digest: string) => Promise<string>;
};

/**
 * The registry's own look-ups, straight from its tables. A look-up is one statement, so it sees
 * revision, statuses and digests of one moment. Throws WireError `TENANT_UNKNOWN`.
 */
export function createStoreDirectory(database: RegistryDatabase): StoreDirectory {
  async function bodyText(tenant: string, digest: string): Promise<string> {
    const read = { ...READ_BODY, values: [tenant, digest] };
    const [found] = await database.atOnce(tenant, [read], { readOnly: true });
    const row = found?.rows[0] as { text: string } | undefined;
    if (!row) throw wireError('NOT_FOUND');
    return row.text;
  }

  return {
    bodyText,
    body: async (tenant, digest, kind) =>
      requireKind(readBody(await bodyText(tenant, digest), digest), kind, digest),
    lookup: async (tenant, request) => {
      const { sql: text, parameters: values } = lookup(tenant, request).compile(database.db);
      const look = { name: nameOf(request), text, values };
      const [answer] = await database.atOnce(tenant, [look], { readOnly: true });
      const row = answer?.rows[0] as { found: LookupResponse } | undefined;
      if (!row) throw wireError('TENANT_UNKNOWN');
      return conform(lookupResponse, row.found);
    },
  };
}

const READ_BODY = {
  name: 'read_body',
  text: 'select text from bodies where tenant = $1 and digest = $2',
} as const;

/** One name per text: what is left out of the request is left out of the statement. */
function nameOf({ user, tools, users }: LookupRequest): string {
  const by = user === undefined ? 'nobody' : 'id' in user ? 'id' : 'subject';
  return `lookup_${by}${tools ? '_tools' : ''}${users ? '_users' : ''}`;
}

/** `json_strip_nulls` leaves out what was not asked for or is not there. */
function lookup(tenant: string, request: LookupRequest) {
  const { actors, user, task_type: taskType, audience, tools, users } = request;
  return sql<{ found: LookupResponse }>`
    select json_strip_nulls(json_build_object(
      'revision', t.revision,
      'tenant', json_build_object('status', t.status, 'body', t.body),
      'actors', (
        select coalesce(json_agg(json_build_object(
          'id', a.id, 'status', a.status, 'body', a.body, 'envelope', a.envelope) order by asked.n), '[]')
        from unnest(${actors.filter(isStorable)}::text[]) with ordinality as asked (id, n)
        join agents a on a.tenant = t.tenant and a.id = asked.id and a.status <> 'removed'),
      'user', ${user ? userJson(user) : sql`null`},
      'task_type', (
        select json_build_object('id', k.id, 'body', k.body) from task_types k
        where k.tenant = t.tenant and k.id = ${storable(taskType)}),
      'tool', (
        select json_build_object('id', o.id, 'body', o.body) from tools o
        where o.tenant = t.tenant and o.audience = ${storable(audience)}),
      'tools', ${tools ? toolsJson : sql`null`},
      'users', ${users ? usersJson(users) : sql`null`}
    )) as found
    from tenants t where t.tenant = ${tenant}`;
}

/** PostgreSQL holds no NUL in text, so nothing has such a name: it is compared with null. */
function storable(name: string | undefined): string | null {
  return name !== undefined && isStorable(name) ? name : null;
}

function isStorable(name: string): boolean {
  return !name.includes('\u0000');
}

/** Roles are those given directly and those of the user's groups, once each. */
function userJson(user: NonNullable<LookupRequest['user']>) {
  const which =
    'id' in user
      ? sql`u.id = ${storable(user.id)}`
      : sql`u.id = (select i.user_id from user_identities i
          where i.tenant = t.tenant and i.issuer = ${storable(user.iss)}
            and i.subject = ${storable(user.sub)})`;
  return sql`(
    select ${oneUser} from users u
    where u.tenant = t.tenant and u.status <> 'removed' and ${which})`;
}

const oneUser = sql`json_build_object('id', u.id, 'status', u.status, 'body', u.body, 'roles', (
  select coalesce(json_agg(r.body order by r.id), '[]') from roles r
  where r.tenant = t.tenant and r.id in (
    select ur.role from user_roles ur where ur.tenant = t.tenant and ur.user_id = u.id
    union
    select gr.role from group_roles gr
    join user_groups ug on ug.tenant = gr.tenant and ug.group_id = gr.group_id
    where gr.tenant = t.tenant and ug.user_id = u.id)))`;

/** A page of users by their ids, in the order of their bytes. */
function usersJson({ after, limit }: NonNullable<LookupRequest['users']>) {
  return sql`(
    select coalesce(json_agg(${oneUser} order by u.id collate "C"), '[]') from (
      select * from users every where every.tenant = t.tenant and every.status <> 'removed'
        and every.id collate "C" > ${storable(after) ?? ''}
      order by every.id collate "C" limit ${limit}) u)`;
}

const toolsJson = sql`(
  select coalesce(json_agg(json_build_object('id', o.id, 'body', o.body) order by o.id), '[]')
  from tools o where o.tenant = t.tenant)`;
