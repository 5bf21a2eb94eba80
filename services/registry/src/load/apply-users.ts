import { type Change, putBody, type RegistryTransaction, specDigest } from '../store/changes.ts';
import { normal } from './apply-folder.ts';
import type { TenantFolder } from './read-folder.ts';
import type { UserEntry } from './schemas.ts';

/** Users, who they are at identity providers, and their roles, directly and through groups. */
export async function applyUsers(
  trx: RegistryTransaction,
  folder: TenantFolder,
): Promise<Change[]> {
  const tenant = folder.tenant.id;
  const rows = await trx.selectFrom('users').selectAll().where('tenant', '=', tenant).execute();
  const known = new Map(rows.map((row) => [row.id, row]));
  const kept = new Set(folder.users.map(({ id }) => id));
  const changes: Change[] = [];
  for (const { id, status } of rows) {
    if (kept.has(id) || status === 'removed') continue;
    changes.push({ entity: 'user', id, change: 'removed' });
    await unlink(trx, tenant, id);
    await trx
      .updateTable('users')
      .set({ status: 'removed' })
      .where('tenant', '=', tenant)
      .where('id', '=', id)
      .execute();
  }
  const changed: UserEntry[] = [];
  for (const entry of folder.users) {
    const { id } = entry;
    const before = known.get(id);
    const body = await putBody(trx, tenant, bodyOf(entry));
    const spec = specDigest({ identities: entry.identities, roles: entry.roles ?? [] });
    if (before && before.status !== 'removed' && before.body === body && before.spec === spec)
      continue;
    const status = before?.status === 'inactive' ? ('inactive' as const) : ('active' as const);
    changes.push({
      entity: 'user',
      id,
      change: before && before.status !== 'removed' ? 'changed' : 'created',
    });
    await trx
      .insertInto('users')
      .values({ tenant, id, status, body, spec })
      .onConflict((conflict) =>
        conflict.columns(['tenant', 'id']).doUpdateSet({ status, body, spec }),
      )
      .execute();
    await unlink(trx, tenant, id);
    changed.push(entry);
  }
  // All old identities are gone by now, so that one can move from a user to another.
  for (const entry of changed) await link(trx, tenant, entry);
  return [...changes, ...(await applyGroups(trx, folder))];
}

function bodyOf(entry: UserEntry) {
  const { id, groups = [], attributes = {}, grants = [] } = entry;
  return { kind: 'user' as const, id, groups, attributes, grants: normal(grants) };
}

async function unlink(trx: RegistryTransaction, tenant: string, id: string): Promise<void> {
  for (const table of ['user_identities', 'user_groups', 'user_roles'] as const) {
    await trx.deleteFrom(table).where('tenant', '=', tenant).where('user_id', '=', id).execute();
  }
}

async function link(trx: RegistryTransaction, tenant: string, entry: UserEntry): Promise<void> {
  const { id, identities, groups = [], roles = [] } = entry;
  const base = { tenant, user_id: id };
  for (const { issuer, subject } of identities) {
    await trx
      .insertInto('user_identities')
      .values({ ...base, issuer, subject })
      .execute();
  }
  for (const group of groups) {
    await trx
      .insertInto('user_groups')
      .values({ ...base, group_id: group })
      .execute();
  }
  for (const role of roles)
    await trx
      .insertInto('user_roles')
      .values({ ...base, role })
      .execute();
}

/** A group that gives or takes a role changes what the role reaches: one event for the role. */
async function applyGroups(trx: RegistryTransaction, folder: TenantFolder): Promise<Change[]> {
  const tenant = folder.tenant.id;
  const wanted = new Map(
    folder.groups.flatMap(({ id, roles }) =>
      roles.map((role) => [`${id} ${role}`, { tenant, group_id: id, role }] as const),
    ),
  );
  const rows = await trx
    .selectFrom('group_roles')
    .selectAll()
    .where('tenant', '=', tenant)
    .execute();
  const known = new Set(rows.map(({ group_id, role }) => `${group_id} ${role}`));
  const touched = new Set<string>();
  for (const row of rows) {
    if (wanted.has(`${row.group_id} ${row.role}`)) continue;
    touched.add(row.role);
    await trx
      .deleteFrom('group_roles')
      .where('tenant', '=', tenant)
      .where('group_id', '=', row.group_id)
      .where('role', '=', row.role)
      .execute();
  }
  for (const [key, row] of wanted) {
    if (known.has(key)) continue;
    touched.add(row.role);
    await trx.insertInto('group_roles').values(row).execute();
  }
  return [...touched].toSorted().map((id) => ({ entity: 'role', id, change: 'changed' }));
}
