import { type RegisterRequest, tenantId } from '@remit/contracts';
import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { namesOf } from './revocations.ts';
import type { Tables, Trx } from './tables.ts';

export type Place = { list: number; idx: number };
/** Random whole numbers below `size`, all different. */
export type DrawIndices = (size: number, count: number) => number[];

/** Indices drawn at once. */
const DRAWN = 64;
/** The second that lists are numbered from: 2025-01-01. */
const LISTS_SINCE_SECONDS = 1_735_689_600;
/** So few of them free means that about nine tenths of the list are used. */
const FREE_ENOUGH = 6;

/** A registration of this id, when there is one. */
export function findRegistration(
  trx: Trx,
  tenant: string,
  jti: string,
): Promise<Tables['registration'] | undefined> {
  return trx
    .selectFrom('registration')
    .selectAll()
    .where('tenant', '=', tenant)
    .where('jti', '=', jti)
    .executeTakeFirst() as Promise<Tables['registration'] | undefined>;
}

/** Whether a task has a token of this user. */
export async function isTaskOf(trx: Trx, tenant: string, task: string, user: string) {
  const found = await trx
    .selectFrom('registration')
    .select('jti')
    .where('tenant', '=', tenant)
    .where('task', '=', task)
    .where('user_id', '=', user)
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

/**
 * Registers a token at a random free index of the tenant's open list, and opens the next list when
 * this one is about nine tenths full. The unique constraint decides between two that drew the same;
 * the loser draws again. Random, so that an index says nothing of when a token was made.
 */
export async function insertRegistration(
  trx: Trx,
  tenant: string,
  request: RegisterRequest,
  options: { listBits: number; draw: DrawIndices },
): Promise<Place> {
  for (;;) {
    const open = await openList(trx, tenant, options.listBits);
    const drawn = options.draw(open.size, Math.min(DRAWN, open.size));
    const free = await freeOf(trx, tenant, open.list, drawn);
    if (free.length <= Math.min(FREE_ENOUGH, (drawn.length * FREE_ENOUGH) / DRAWN)) {
      await closeList(trx, tenant, open.list);
      continue;
    }
    for (const idx of free) {
      const place = { list: open.list, idx };
      if (await tryInsert(trx, tenant, request, place)) return place;
    }
  }
}

/**
 * Registers a token in one round trip (`register_token`). Undefined, and nothing registered, where
 * anything has to be looked at more closely: an id that is known, a head that moved, a revocation that
 * names the token, a time or list that doesn't fit.
 */
export async function insertRegistrationIfClear(
  database: Database<Tables>,
  tenant: string,
  token: Omit<RegisterRequest, 'budgets'>,
  options: { listBits: number; draw: DrawIndices; skewSeconds: number; lifeSeconds: number },
): Promise<Place | undefined> {
  const { listBits, draw, skewSeconds, lifeSeconds } = options;
  const { kinds, ids } = namesOf(tenant, { tokens: [token], tasks: [], keys: [] });
  const { jti, lineage, rev, task, actors, user, client, keys, exp } = token;
  const drawn = draw(listBits, Math.min(DRAWN, listBits));
  const tooFew = Math.floor(Math.min(FREE_ENOUGH, (drawn.length * FREE_ENOUGH) / DRAWN));
  const { rows } = await sql<Place>`select list, idx from register_token(${tenantId(tenant)},
    ${kinds}, ${ids}, ${jti}, ${lineage}, ${rev.epoch}, ${rev.seq}, ${task}, ${actors}, ${user},
    ${client}, ${keys}, ${exp}, ${skewSeconds}, ${lifeSeconds}, ${listBits}, ${drawn},
    ${tooFew})`.execute(database.db);
  return rows[0];
}

async function tryInsert(
  trx: Trx,
  tenant: string,
  request: RegisterRequest,
  place: Place,
): Promise<boolean> {
  const { rev, user, ...rest } = request;
  const row = await trx
    .insertInto('registration')
    .values({
      ...rest,
      ...place,
      tenant,
      user_id: user,
      rev_epoch: rev.epoch,
      rev_seq: rev.seq,
    })
    .onConflict((conflict) => conflict.columns(['tenant', 'list', 'idx']).doNothing())
    .returning('idx')
    .executeTakeFirst();
  return row !== undefined;
}

async function openList(
  trx: Trx,
  tenant: string,
  listBits: number,
): Promise<{ list: number; size: number }> {
  const newest = await trx
    .selectFrom('status_list')
    .select(['list', 'size', 'closed', 'epoch'])
    .where('tenant', '=', tenant)
    .orderBy('list', 'desc')
    .limit(1)
    .executeTakeFirst();
  const epoch = await trx
    .selectFrom('epoch')
    .select(['id', sql<number>`floor(extract(epoch from started_at))::bigint`.as('startedAt')])
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  if (newest && !newest.closed && newest.epoch === epoch.id) return newest;
  // A store that was put back doesn't know which lists it had opened since: none of their numbers
  // comes again, since no list of another epoch is opened so late.
  const list = Math.max((newest?.list ?? 0) + 1, epoch.startedAt - LISTS_SINCE_SECONDS);
  await trx
    .insertInto('status_list')
    .values({
      tenant,
      list,
      size: listBits,
      closed: false,
      late: 0,
      epoch: epoch.id,
      bits: Buffer.alloc(listBits / 8),
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return { list, size: listBits };
}

async function closeList(trx: Trx, tenant: string, list: number): Promise<void> {
  await trx
    .updateTable('status_list')
    .set({ closed: true })
    .where('tenant', '=', tenant)
    .where('list', '=', list)
    .where('closed', '=', false)
    .execute();
}

async function freeOf(trx: Trx, tenant: string, list: number, drawn: number[]): Promise<number[]> {
  const { rows } = await sql<{ idx: number }>`
    select drawn.idx from unnest(${drawn}::int[]) with ordinality as drawn (idx, place)
    where not exists (select 1 from registration r
      where r.tenant = ${tenant} and r.list = ${list} and r.idx = drawn.idx)
    order by drawn.place`.execute(trx);
  return rows.map(({ idx }) => idx);
}
