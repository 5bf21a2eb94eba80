import type { Database } from '@remit/service-kit';
import type { Tables } from './tables.ts';

/** Remembers a key that the feed is signed with, or with `jws` one that is announced; once. */
export async function rememberKey(
  database: Database<Tables>,
  { kid, jws = null }: { kid: string; jws?: string | null },
): Promise<void> {
  await database.db
    .insertInto('feed_key')
    .values({ tenant: '*', kid, jws })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Ids of the keys that were ever announced or signed with. */
export async function rememberedKeys(database: Database<Tables>): Promise<Set<string>> {
  const rows = await database.db.selectFrom('feed_key').select('kid').execute();
  return new Set(rows.map(({ kid }) => kid));
}

/** Every announcement, oldest first: each is signed by a key of the ones before. */
export async function announcements(database: Database<Tables>): Promise<string[]> {
  const rows = await database.db
    .selectFrom('feed_key')
    .select('jws')
    .where('jws', 'is not', null)
    .orderBy('at')
    .execute();
  return rows.map(({ jws }) => jws as string);
}
