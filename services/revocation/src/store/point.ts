import { createHmac } from 'node:crypto';
import { sql } from 'kysely';
import type { Trx } from './tables.ts';

/** Where a tenant's log stands, on the feed's clock, as one statement saw it. */
export type Point = {
  epoch: string;
  seq: number;
  /** Entries up to here are forgotten, but for those of keys. */
  floor: number;
  term: number;
  /** Milliseconds of the feed's clock, not later than when `seq` was read. */
  timeMs: number;
  /** The tenant's key in the `heads` of beats. */
  tag: string;
};

/** The database's clock in ms plus what keeps it from going back; see `renewLease`. */
export const feedMsNow = sql<number>`greatest(lease.feed_ms,
  floor(extract(epoch from statement_timestamp()) * 1000)::bigint + lease.offset_ms)`;

/** A tenant's key in beats: nobody learns from a beat which other tenants moved. */
export function headTag(secret: Uint8Array, tenant: string): string {
  return createHmac('sha256', secret).update(tenant).digest().subarray(0, 16).toString('base64url');
}

/**
 * Reads the committed head. Time is taken when the statement begins, so the head is at least as new
 * as it says. Makes the tenant's row when there is none yet.
 */
export async function readPoint(trx: Trx, tenant: string): Promise<Point> {
  const row = await trx
    .selectFrom('epoch')
    .innerJoin('lease', (join) => join.onTrue())
    .leftJoin('head', (join) => join.on('head.tenant', '=', tenant))
    .select(['epoch.id', 'epoch.feed_secret', 'head.seq', 'head.floor', 'lease.term'])
    .select(feedMsNow.as('timeMs'))
    .orderBy('epoch.number', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  if (row.seq === null) await ensureHead(trx, tenant);
  return {
    epoch: row.id,
    seq: row.seq ?? 0,
    floor: row.floor ?? 0,
    term: row.term,
    timeMs: row.timeMs,
    tag: headTag(row.feed_secret, tenant),
  };
}

/** Gives a tenant its head, so that its shard has beats. */
export async function ensureHead(trx: Trx, tenant: string): Promise<void> {
  await trx
    .insertInto('head')
    .values({ tenant, seq: 0, moved_at: sql<Date>`clock_timestamp()` })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/**
 * Takes the tenant's next sequence. The row stays locked until commit, so sequences have no gaps and
 * are committed in their order. Nothing slow may follow in the transaction.
 */
export async function takeSeq(trx: Trx, tenant: string): Promise<number> {
  const { seq } = await trx
    .insertInto('head')
    .values({ tenant, seq: 1, moved_at: sql<Date>`clock_timestamp()` })
    .onConflict((conflict) =>
      conflict.column('tenant').doUpdateSet({
        seq: sql<number>`head.seq + 1`,
        moved_at: sql<Date>`clock_timestamp()`,
      }),
    )
    .returning('seq')
    .executeTakeFirstOrThrow();
  return seq;
}

/**
 * Holds the head where it is until commit, beside others who do: a registration then either sees a
 * revocation or is seen by it.
 */
export async function holdHead(trx: Trx, tenant: string): Promise<void> {
  const held = await trx
    .selectFrom('head')
    .select('seq')
    .where('tenant', '=', tenant)
    .forShare()
    .executeTakeFirst();
  if (held) return;
  await ensureHead(trx, tenant);
  await trx.selectFrom('head').select('seq').where('tenant', '=', tenant).forShare().execute();
}
