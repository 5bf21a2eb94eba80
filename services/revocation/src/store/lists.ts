import type { TokenSubjects } from '@remit/contracts';
import type { Trx } from './tables.ts';

/** What a list depends on: when none of it moved, the list hasn't either. */
export type ListVersion = { seq: number; late: number; epoch: string };

/** The version of a list now, or undefined when there is no such list. */
export async function listVersion(
  trx: Trx,
  tenant: string,
  list: number,
): Promise<ListVersion | undefined> {
  return trx
    .selectFrom('status_list')
    .innerJoin('head', 'head.tenant', 'status_list.tenant')
    .innerJoin('epoch', (join) => join.onTrue())
    .select(['head.seq', 'status_list.late', 'epoch.id as epoch'])
    .where('status_list.tenant', '=', tenant)
    .where('status_list.list', '=', list)
    .orderBy('epoch.number', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** The bits shown last, and the epoch in which the list was opened; locked until commit. */
export async function lockBits(
  trx: Trx,
  tenant: string,
  list: number,
): Promise<{ bits: Buffer; epoch: string }> {
  return trx
    .selectFrom('status_list')
    .select(['bits', 'epoch'])
    .where('tenant', '=', tenant)
    .where('list', '=', list)
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow();
}

export async function saveBits(
  trx: Trx,
  tenant: string,
  list: number,
  bits: Uint8Array,
): Promise<void> {
  await trx
    .updateTable('status_list')
    .set({ bits: Buffer.from(bits) })
    .where('tenant', '=', tenant)
    .where('list', '=', list)
    .execute();
}

/** Every registered token of a list that can still live at `aliveAt`. */
export async function registeredOf(
  trx: Trx,
  tenant: string,
  list: number,
  aliveAt: number,
): Promise<{ idx: number; subjects: TokenSubjects }[]> {
  const rows = await trx
    .selectFrom('registration')
    .select(['idx', 'jti', 'lineage', 'rev_epoch', 'rev_seq', 'task', 'actors', 'user_id'])
    .select(['client', 'keys'])
    .where('tenant', '=', tenant)
    .where('list', '=', list)
    .where('exp', '>=', aliveAt)
    .execute();
  return rows.map(({ idx, rev_epoch, rev_seq, user_id, ...rest }) => ({
    idx,
    subjects: { ...rest, user: user_id, rev: { epoch: rev_epoch, seq: rev_seq } },
  }));
}
