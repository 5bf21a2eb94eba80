import { randomBytes } from 'node:crypto';
import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import type { Tables } from './tables.ts';

/**
 * Starts a new epoch of this store; needs the schema's owner. To be done whenever the database was
 * restored or built anew: revocations may be missing in it, so every token decided before is dead
 * from here on. Views learn of it from beats, ask for the head, and begin anew. The feed's secret
 * changes with it, and only with it: a view would take a tag that it doesn't know for "not moved".
 */
export async function startEpoch(database: Database<Tables>): Promise<string> {
  const id = randomBytes(6).toString('base64url');
  await sql`insert into epoch (tenant, number, id, feed_secret)
    select '*', max(number) + 1, ${id}, ${randomBytes(32)} from epoch`.execute(database.db);
  return id;
}
