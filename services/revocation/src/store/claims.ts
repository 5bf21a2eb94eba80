import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { feedMsNow } from './point.ts';
import type { Tables, Trx } from './tables.ts';

/** Rows deleted by one statement. */
const FORGOTTEN_AT_ONCE = 5_000;

export type Claim = { proof: string; attempt: string; pep: string; keepSeconds: number };

/**
 * Gives each proof to the first attempt that names it, for `keepSeconds` of the feed's clock. Of two
 * transactions with the same proof the second waits for the first; in the order of their ids, so that
 * two of them never wait for each other. Returns who has which, read after the insert.
 */
export async function insertClaims(
  trx: Trx,
  tenant: string,
  claims: readonly Claim[],
): Promise<Map<string, Pick<Claim, 'attempt' | 'pep'>>> {
  const sorted = claims.toSorted((a, b) => (a.proof < b.proof ? -1 : 1));
  const column = <K extends keyof Claim>(name: K) => sorted.map((claim) => claim[name]);
  await sql`
    insert into proof_claim (tenant, proof, attempt, pep, keep_until)
    select ${tenant}, each.proof, each.attempt, each.pep, ${feedMsNow} / 1000 + each.keep
    from lease, unnest(${column('proof')}::text[], ${column('attempt')}::text[],
      ${column('pep')}::text[], ${column('keepSeconds')}::bigint[])
      as each (proof, attempt, pep, keep)
    on conflict (tenant, proof) do nothing`.execute(trx);
  const rows = await trx
    .selectFrom('proof_claim')
    .select(['proof', 'attempt', 'pep'])
    .where('tenant', '=', tenant)
    .where('proof', 'in', column('proof'))
    .execute();
  return new Map(rows.map(({ proof, ...owner }) => [proof, owner]));
}

/** Deletes the claims of all tenants on proofs that nobody takes any more; counts them. */
export async function forgetClaims(database: Database<Tables>): Promise<number> {
  let forgotten = 0;
  for (;;) {
    const { numAffectedRows = 0n } = await database.withSystem((trx) =>
      sql`delete from proof_claim where (tenant, proof) in (
        select c.tenant, c.proof from proof_claim c, lease
        where c.keep_until < ${feedMsNow} / 1000
        order by c.keep_until limit ${FORGOTTEN_AT_ONCE})`.execute(trx),
    );
    forgotten += Number(numAffectedRows);
    if (numAffectedRows < FORGOTTEN_AT_ONCE) return forgotten;
  }
}
