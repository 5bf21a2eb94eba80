import type { Signer } from '@remit/bus';
import { scope } from '@remit/capability';
import { type EnvelopePayload, SIGNED } from '@remit/contracts';
import {
  type Change,
  type ChangeWriter,
  lockTenant,
  putBody,
  type RegistryTransaction,
  specDigest,
} from '../store/changes.ts';
import type { RegistryDatabase } from '../store/directory.ts';
import { applyUsers } from './apply-users.ts';
import type { AgentEntry, TenantFolder } from './read-folder.ts';

export type Applied = { tenant: string; revision: number; changes: Change[] };

/**
 * Makes a tenant what its folder says, in one transaction. What is the same stays untouched: a second
 * load of the same folder changes nothing, and the revision stays. What the folder does not name any
 * more is removed. Statuses that an administrator set stay. The folder must have been checked.
 */
export async function applyFolder(
  folder: TenantFolder,
  options: { database: RegistryDatabase; writer: ChangeWriter; envelopeSigner: Signer },
): Promise<Applied> {
  const { database, writer, envelopeSigner } = options;
  const tenant = folder.tenant.id;
  return database.withTenant(tenant, async (trx) => {
    const changes = [
      ...(await applyTenant(trx, folder)),
      ...(await applyRoles(trx, folder)),
      ...(await applyTaskTypes(trx, folder)),
      ...(await applyTools(trx, folder)),
      ...(await applyAgents(trx, folder, envelopeSigner)),
      ...(await applyUsers(trx, folder)),
      ...(await removeRoles(trx, folder)),
    ];
    if (changes.length === 0) {
      const row = await lockTenant(trx, tenant);
      return { tenant, revision: row?.revision ?? 0, changes };
    }
    const revision = await writer.write(trx, tenant, changes);
    const summary = JSON.stringify(countByKind(changes));
    await trx
      .insertInto('load_reports')
      .values({ tenant, revision, summary, recorded_at: null })
      .execute();
    return { tenant, revision, changes };
  });
}

async function applyTenant(
  trx: RegistryTransaction,
  { tenant: file }: TenantFolder,
): Promise<Change[]> {
  const tenant = file.id;
  const body = await putBody(trx, tenant, { kind: 'tenant', ...file });
  const inserted = await trx
    .insertInto('tenants')
    .values({ tenant, status: 'active', body, revision: 0 })
    .onConflict((conflict) => conflict.column('tenant').doNothing())
    .executeTakeFirst();
  if (inserted.numInsertedOrUpdatedRows === 1n)
    return [{ entity: 'tenant', id: tenant, change: 'created' }];
  const row = await lockTenant(trx, tenant);
  if (row?.body === body) return [];
  await trx.updateTable('tenants').set({ body }).where('tenant', '=', tenant).execute();
  return [{ entity: 'tenant', id: tenant, change: 'changed' }];
}

async function applyRoles(trx: RegistryTransaction, folder: TenantFolder): Promise<Change[]> {
  const tenant = folder.tenant.id;
  const known = await bodiesOf(trx, 'roles', tenant);
  const changes: Change[] = [];
  for (const { id, permissions } of folder.roles) {
    const body = await putBody(trx, tenant, { kind: 'role', id, permissions: normal(permissions) });
    if (known.get(id) === body) continue;
    changes.push({ entity: 'role', id, change: known.has(id) ? 'changed' : 'created' });
    await trx
      .insertInto('roles')
      .values({ tenant, id, body })
      .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet({ body }))
      .execute();
  }
  return changes;
}

/** After users: a role that somebody still has cannot go. */
async function removeRoles(trx: RegistryTransaction, folder: TenantFolder): Promise<Change[]> {
  const kept = new Set(folder.roles.map(({ id }) => id));
  return removeMissing(trx, 'roles', 'role', folder.tenant.id, kept);
}

async function applyTaskTypes(trx: RegistryTransaction, folder: TenantFolder): Promise<Change[]> {
  const tenant = folder.tenant.id;
  const known = await bodiesOf(trx, 'task_types', tenant);
  const changes: Change[] = [];
  for (const entry of folder.taskTypes) {
    const { id } = entry;
    const body = await putBody(trx, tenant, {
      token_seconds: 300,
      depth_max: 0,
      single_use: false,
      links: false,
      ...entry,
      kind: 'task-type',
    });
    if (known.get(id) === body) continue;
    changes.push({ entity: 'task-type', id, change: known.has(id) ? 'changed' : 'created' });
    await trx
      .insertInto('task_types')
      .values({ tenant, id, body })
      .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet({ body }))
      .execute();
  }
  const kept = new Set(folder.taskTypes.map(({ id }) => id));
  return [...changes, ...(await removeMissing(trx, 'task_types', 'task-type', tenant, kept))];
}

async function applyTools(trx: RegistryTransaction, folder: TenantFolder): Promise<Change[]> {
  const tenant = folder.tenant.id;
  const known = await bodiesOf(trx, 'tools', tenant);
  // Before the others, so that an audience can move from one tool to another.
  const kept = new Set(folder.tools.map(({ id }) => id));
  const changes = await removeMissing(trx, 'tools', 'tool', tenant, kept);
  for (const entry of folder.tools) {
    const { id, audience } = entry;
    const body = await putBody(trx, tenant, { kind: 'tool', ...entry });
    if (known.get(id) === body) continue;
    changes.push({ entity: 'tool', id, change: known.has(id) ? 'changed' : 'created' });
    await trx
      .insertInto('tools')
      .values({ tenant, id, audience, body })
      .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet({ audience, body }))
      .execute();
  }
  return changes;
}

async function applyAgents(
  trx: RegistryTransaction,
  folder: TenantFolder,
  signer: Signer,
): Promise<Change[]> {
  const tenant = folder.tenant.id;
  const rows = await trx.selectFrom('agents').selectAll().where('tenant', '=', tenant).execute();
  const known = new Map(rows.map((row) => [row.id, row]));
  const changes: Change[] = [];
  for (const entry of folder.agents) {
    const { id } = entry;
    const before = known.get(id);
    const said = agentFields(entry);
    const permissions = normal(entry.envelope);
    const spec = specDigest(said);
    const envelopeSpec = specDigest({ permissions, kid: signer.kid });
    const sameAgent = before?.spec === spec;
    const sameEnvelope = before?.envelope_spec === envelopeSpec;
    if (before && before.status !== 'removed' && sameAgent && sameEnvelope) continue;
    // One version of both, since an envelope counts only for its agent's; it goes up over a removal too.
    const version = Math.max(before?.version ?? 0, before?.envelope_version ?? 0) + 1;
    const payload: EnvelopePayload = { tenant, agent: id, version, permissions };
    const row = {
      status: before?.status === 'inactive' ? ('inactive' as const) : ('active' as const),
      version,
      spec,
      body: await putBody(trx, tenant, { ...said, version }),
      envelope_version: version,
      envelope_spec: envelopeSpec,
      envelope: await putBody(trx, tenant, {
        kind: 'envelope',
        jws: signer.sign(SIGNED.envelope, JSON.stringify(payload)),
      }),
    };
    changes.push({
      entity: 'agent',
      id,
      change: before && before.status !== 'removed' ? 'changed' : 'created',
    });
    await trx
      .insertInto('agents')
      .values({ tenant, id, ...row })
      .onConflict((conflict) => conflict.columns(['tenant', 'id']).doUpdateSet(row))
      .execute();
  }
  const kept = new Set(folder.agents.map(({ id }) => id));
  for (const { id, status } of rows) {
    if (kept.has(id) || status === 'removed') continue;
    changes.push({ entity: 'agent', id, change: 'removed' });
    await trx
      .updateTable('agents')
      .set({ status: 'removed' })
      .where('tenant', '=', tenant)
      .where('id', '=', id)
      .execute();
  }
  return changes;
}

/** An agent's body without its version; what is not written is denied. */
function agentFields(agent: AgentEntry) {
  const { envelope: _envelope, ...entry } = agent;
  return {
    launchers: [],
    task_types: [],
    bearer: false,
    free_tasks: false,
    relay: false,
    signing_alg: 'ML-DSA-65' as const,
    attributes: {},
    ...entry,
    kind: 'agent' as const,
  };
}

/** A list of permissions in the normal form of scopes. */
export function normal(permissions: readonly unknown[]) {
  return JSON.parse(
    JSON.stringify(scope(permissions).permissions),
  ) as EnvelopePayload['permissions'];
}

async function bodiesOf(
  trx: RegistryTransaction,
  table: 'roles' | 'task_types' | 'tools',
  tenant: string,
): Promise<Map<string, string>> {
  const rows = await trx
    .selectFrom(table)
    .select(['id', 'body'])
    .where('tenant', '=', tenant)
    .execute();
  return new Map(rows.map(({ id, body }) => [id, body]));
}

async function removeMissing(
  trx: RegistryTransaction,
  table: 'roles' | 'task_types' | 'tools',
  entity: Change['entity'],
  tenant: string,
  kept: ReadonlySet<string>,
): Promise<Change[]> {
  const known = await bodiesOf(trx, table, tenant);
  const gone = [...known.keys()].filter((id) => !kept.has(id));
  if (gone.length === 0) return [];
  await trx.deleteFrom(table).where('tenant', '=', tenant).where('id', 'in', gone).execute();
  return gone.map((id) => ({ entity, id, change: 'removed' }));
}

function countByKind(changes: readonly Change[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { entity, change } of changes) {
    const key = `${entity}.${change}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
