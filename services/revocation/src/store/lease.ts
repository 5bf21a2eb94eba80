import { BEAT_HEADS_MS } from '@remit/contracts';
import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { headTag } from './point.ts';
import type { Tables } from './tables.ts';

/**
 * A held lease: the term that fences it, the feed's clock when the statement began, and how often the
 * lease was taken or renewed since the store was made.
 */
export type Held = { term: number; feedMs: number; renewals: number };

/** Beats list a tenant somewhat longer than views rely on. */
const LISTED_MS = BEAT_HEADS_MS + 15_000;

const clockMs = sql`floor(extract(epoch from statement_timestamp()) * 1000)::bigint`;

/**
 * Takes or renews the one lease of the feed; undefined while somebody else holds it. Every change of
 * hands, and a renewal that came too late, begins a new term. The feed's clock is the database's; when
 * that goes back, `offset_ms` grows by as much, so that the feed's goes on over terms and replicas.
 * One statement outside of a transaction: a leader that stops in the middle holds no lock.
 */
export async function renewLease(
  database: Database<Tables>,
  holder: string,
  leaseMs: number,
): Promise<Held | undefined> {
  const { rows } = await sql<Held>`
    update lease set
      term = case when holder = ${holder} and expires_at > clock_timestamp()
        then term else term + 1 end,
      holder = ${holder},
      renewals = renewals + 1,
      expires_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1_000}),
      offset_ms = offset_ms + greatest(0, feed_ms - (${clockMs} + offset_ms)),
      feed_ms = greatest(feed_ms, ${clockMs} + offset_ms)
    where tenant = '*' and (holder = ${holder} or expires_at <= clock_timestamp())
    returning term, feed_ms as "feedMs", renewals`.execute(database.db);
  return rows[0];
}

/** Gives the lease up at once, so that another replica need not wait for its end. */
export async function releaseLease(database: Database<Tables>, holder: string): Promise<void> {
  await sql`update lease set expires_at = clock_timestamp()
    where tenant = '*' and holder = ${holder}`.execute(database.db);
}

/** Whether anybody holds the lease. */
export async function isLed(database: Database<Tables>): Promise<boolean> {
  const { rows } = await sql<{ led: boolean }>`
    select expires_at > clock_timestamp() as led from lease where tenant = '*'`.execute(
    database.db,
  );
  return rows[0]?.led === true;
}

/** What a beat says beside its time: the epoch and, by tenant, tags and heads of who moved lately. */
export type Heads = { epoch: string; moved: { tenant: string; tag: string; seq: number }[] };

/** Reads the heads, after the time of the beat that will carry them was taken. */
export async function readHeads(database: Database<Tables>): Promise<Heads> {
  return database.withSystem(
    async (trx) => {
      const epoch = await trx
        .selectFrom('epoch')
        .select(['id', 'feed_secret'])
        .orderBy('number', 'desc')
        .limit(1)
        .executeTakeFirstOrThrow();
      const rows = await trx
        .selectFrom('head')
        .select(['tenant', 'seq'])
        .where(
          'moved_at',
          '>',
          sql<Date>`clock_timestamp() - make_interval(secs => ${LISTED_MS / 1_000})`,
        )
        .execute();
      const moved = rows.map(({ tenant, seq }) => ({
        tenant,
        seq,
        tag: headTag(epoch.feed_secret, tenant),
      }));
      return { epoch: epoch.id, moved };
    },
    { readOnly: true },
  );
}

/** Every tenant that has a head. */
export async function allTenants(database: Database<Tables>): Promise<string[]> {
  const rows = await database.withSystem(
    (trx) => trx.selectFrom('head').select('tenant').execute(),
    {
      readOnly: true,
    },
  );
  return rows.map(({ tenant }) => tenant);
}
