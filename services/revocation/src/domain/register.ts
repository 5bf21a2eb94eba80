import { randomInt } from 'node:crypto';
import type { RegisterRequest } from '@remit/contracts';
import { type Database, wireError } from '@remit/service-kit';
import { sql } from 'kysely';
import { registerBudgets } from '../store/budgets.ts';
import { holdHead, type Point, readPoint } from '../store/point.ts';
import {
  findRegistration,
  insertRegistration,
  insertRegistrationIfClear,
  type Place,
} from '../store/registrations.ts';
import { revocationsNaming, timeOfSeq } from '../store/revocations.ts';
import type { Tables, Trx } from '../store/tables.ts';
import { firstHit } from './check.ts';
import {
  BUDGET_KEPT_SECONDS,
  CLOCK_SKEW_SECONDS,
  MAX_DECISION_SECONDS,
  MAX_TOKEN_SECONDS,
} from './lifetimes.ts';

/** Whole numbers below `size`, all different, none foreseeable. */
function drawIndices(size: number, count: number): number[] {
  const drawn = new Set<number>();
  while (drawn.size < count) drawn.add(randomInt(size));
  return [...drawn];
}

/**
 * {@link register} in a transaction of its own: of one round trip, where nothing speaks against the
 * token and it brings no budgets.
 */
export async function registerAlone(
  database: Database<Tables>,
  tenant: string,
  request: RegisterRequest,
  options: { listBits: number },
): Promise<Place & { dead: boolean }> {
  const { budgets, ...token } = request;
  if (!budgets?.length) {
    const place = await insertRegistrationIfClear(database, tenant, token, {
      listBits: options.listBits,
      draw: drawIndices,
      skewSeconds: CLOCK_SKEW_SECONDS,
      lifeSeconds: MAX_TOKEN_SECONDS,
    });
    if (place) return { ...place, dead: false };
  }
  return database.withTenant(tenant, (trx) => register(trx, tenant, request, options));
}

/**
 * Registers a token that is about to be signed and gives it an index. The same request again gives
 * the same index. What was revoked since `rev` was read is registered all the same and shown as
 * revoked from the start: the feed refuses it, and a list has to. Its budgets are known from here on.
 * Refuses (`CONFLICT`) a token of another epoch or ahead of the log, one whose decision is older than
 * MAX_DECISION_SECONDS when the log went on since, a life over MAX_TOKEN_SECONDS, and an id that is
 * registered with other facts.
 */
export async function register(
  trx: Trx,
  tenant: string,
  request: RegisterRequest,
  options: { listBits: number },
): Promise<Place & { dead: boolean }> {
  const known = await findRegistration(trx, tenant, request.jti);
  if (known) {
    const { rev, exp, task, user } = request;
    const same =
      known.rev_epoch === rev.epoch &&
      known.rev_seq === rev.seq &&
      known.exp === exp &&
      known.task === task &&
      known.user_id === user;
    if (!same) throw wireError('CONFLICT', { detail: 'The id is registered for another token.' });
    return { list: known.list, idx: known.idx, dead: false };
  }
  await holdHead(trx, tenant);
  const point = await readPoint(trx, tenant);
  await assertYoung(trx, tenant, request, point);
  const named = { tokens: [request], tasks: [], keys: [] };
  const dead = firstHit(tenant, point, named, await revocationsNaming(trx, tenant, named));
  const { budgets, ...token } = request;
  if (budgets?.length) await registerBudgets(trx, tenant, budgets, BUDGET_KEPT_SECONDS);
  const place = await insertRegistration(trx, tenant, token, {
    listBits: options.listBits,
    draw: drawIndices,
  });
  if (dead) await countLate(trx, tenant, place.list);
  return { ...place, dead: dead !== undefined };
}

/** What `endOf` promises rests on these. */
async function assertYoung(
  trx: Trx,
  tenant: string,
  { rev, exp }: RegisterRequest,
  point: Point,
): Promise<void> {
  const now = Math.floor(point.timeMs / 1_000);
  if (rev.epoch !== point.epoch || rev.seq > point.seq) {
    throw wireError('CONFLICT', { detail: 'The decision was made under another epoch.' });
  }
  if (exp <= now - CLOCK_SKEW_SECONDS || exp > now + MAX_TOKEN_SECONDS + CLOCK_SKEW_SECONDS) {
    throw wireError('CONFLICT', { detail: 'The token does not end within fifteen minutes.' });
  }
  if (rev.seq === point.seq) return;
  const movedAt = await timeOfSeq(trx, tenant, rev.seq + 1);
  if (movedAt === undefined || now - movedAt > MAX_DECISION_SECONDS) {
    throw wireError('CONFLICT', { detail: 'The decision is too old. Ask again.' });
  }
}

/** A list changes by this token although nothing was revoked since it was last made. */
async function countLate(trx: Trx, tenant: string, list: number): Promise<void> {
  await trx
    .updateTable('status_list')
    .set({ late: sql<number>`late + 1` })
    .where('tenant', '=', tenant)
    .where('list', '=', list)
    .execute();
}
