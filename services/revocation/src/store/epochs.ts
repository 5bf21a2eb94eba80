import { randomBytes } from 'node:crypto';
import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import type { Tables } from './tables.ts';

/** What a store says of itself, to be compared with what is known of it from outside. */
export type StoreState = {
  /** The newest epoch and its number. */
  epoch: string;
  number: number;
  /** Renewals of the feed's lease since the store was made; never fewer than before. */
  renewals: number;
  feedMs: number;
  /** The PostgreSQL cluster and timeline that the epoch began on; null when it couldn't be read. */
  beganOn: string | null;
  /** Those that answer now. */
  runsOn: string | null;
};

/** No right to read the cluster's control data, as some hosters have it. */
const FORBIDDEN = '42501';

/**
 * Reads what a store says of itself. PostgreSQL gives every recovery to a point in time and every
 * promoted standby a new timeline, and every new cluster another identifier.
 */
export async function readState(database: Database<Tables>): Promise<StoreState> {
  const runsOn = await readCluster(database);
  const { rows } = await sql<Omit<StoreState, 'runsOn'>>`
    select e.id as epoch, e.number, e.cluster as "beganOn", l.renewals, l.feed_ms as "feedMs"
    from epoch e, lease l order by e.number desc limit 1`.execute(database.db);
  const [state] = rows;
  if (state === undefined) throw new Error('the store has no epoch');
  return { ...state, runsOn };
}

async function readCluster(database: Database<Tables>): Promise<string | null> {
  try {
    const { rows } = await sql<{ cluster: string }>`select ${runningCluster} as cluster`.execute(
      database.db,
    );
    return rows[0]?.cluster ?? null;
  } catch (error) {
    if ((error as { code?: string }).code === FORBIDDEN) return null;
    throw error;
  }
}

/** `<system identifier>/<timeline>` of the running cluster. */
const runningCluster = sql<string>`(select system_identifier from pg_control_system())::text
  || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`;

/** Whether the store knows an epoch of this id. */
export async function knowsEpoch(database: Database<Tables>, id: string): Promise<boolean> {
  const row = await database.db
    .selectFrom('epoch')
    .select('id')
    .where('id', '=', id)
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Starts a new epoch of this store, unless one after `after` began already (say, by another replica).
 * Revocations may be missing in a store that was restored or built anew, so every token decided
 * before is dead from here on. Views learn of it from beats, ask for the head, and begin anew. The
 * feed's secret changes with it, and only with it: a view would take a tag that it doesn't know for
 * "not moved". The feed's clock goes on from `feedMs`. Returns the epoch, or undefined.
 */
export async function startEpoch(
  database: Database<Tables>,
  { after, feedMs = 0 }: { after?: number; feedMs?: number } = {},
): Promise<string | undefined> {
  const id = randomBytes(6).toString('base64url');
  const cluster = await readCluster(database);
  await sql`update lease set feed_ms = greatest(feed_ms, ${feedMs}::bigint)`.execute(database.db);
  const { rows } = await sql<{ id: string }>`
    insert into epoch (tenant, number, id, feed_secret, cluster)
    select '*', max(number) + 1, ${id}, ${randomBytes(32)}, ${cluster} from epoch
    having ${after ?? null}::bigint is null or max(number) = ${after ?? null}::bigint
    on conflict (number) do nothing
    returning id`.execute(database.db);
  return rows[0]?.id;
}
