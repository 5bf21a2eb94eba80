import { wireError } from '@remit/service-kit';
import { type ChangeWriter, type RegistryTransaction, requireTenant } from './changes.ts';

export type StatusChange = { status: 'active' | 'inactive'; revision: number; changed: boolean };

/**
 * Activates or deactivates a user or an agent: a new revision and an event when it changes something.
 * Throws WireError `TENANT_UNKNOWN`, `NOT_FOUND`.
 */
export async function setStatus(
  trx: RegistryTransaction,
  writer: ChangeWriter,
  target: { tenant: string; entity: 'agent' | 'user'; id: string; status: 'active' | 'inactive' },
): Promise<StatusChange> {
  const { tenant, entity, id, status } = target;
  const table = entity === 'agent' ? 'agents' : 'users';
  const { revision } = await requireTenant(trx, tenant);
  const row = await trx
    .selectFrom(table)
    .select('status')
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .executeTakeFirst();
  if (!row || row.status === 'removed') throw wireError('NOT_FOUND');
  if (row.status === status) return { status, revision, changed: false };
  await trx
    .updateTable(table)
    .set({ status })
    .where('tenant', '=', tenant)
    .where('id', '=', id)
    .execute();
  const change = status === 'active' ? 'activated' : 'deactivated';
  return {
    status,
    changed: true,
    revision: await writer.write(trx, tenant, [{ entity, id, change }]),
  };
}
