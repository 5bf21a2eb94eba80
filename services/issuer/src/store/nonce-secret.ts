import type { Database } from '@remit/service-kit';
import type { IssuerTables } from './schema.ts';

/**
 * The secret that all replicas make nonces with, as the migration drew it. Read once; a database that
 * does not answer is asked again at the next use.
 */
export function createNonceSecret(database: Database<IssuerTables>): () => Promise<Uint8Array> {
  let known: Uint8Array | undefined;
  return async () => {
    known ??= await database.withSystem(async (trx) => {
      const row = await trx.selectFrom('nonce_secret').select('secret').executeTakeFirstOrThrow();
      return row.secret;
    });
    return known;
  };
}
