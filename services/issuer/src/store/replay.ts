import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import type { IssuerTables } from './schema.ts';

/** What was used once and must not be used again, in PostgreSQL: the same for every replica. */
export type ReplayMemory = {
  /** False when the client used this assertion before. */
  rememberAssertion(
    tenant: string,
    assertion: { clientId: string; jtiHash: string; expSeconds: number },
  ): Promise<boolean>;
  /** False when this key made a proof with this `jti` before. */
  rememberProof(
    tenant: string,
    proof: { jkt: string; jtiHash: string; expSeconds: number },
  ): Promise<boolean>;
  /** False when this agent's actor token was used before. */
  rememberActorToken(
    tenant: string,
    token: { agent: string; jtiHash: string; expSeconds: number },
  ): Promise<boolean>;
  /** Forgets what has been unusable for a while, in all tenants. Returns how many rows went. */
  forgetExpired(nowMs: number): Promise<number>;
};

/**
 * Rows outlive what they stand for: a replica whose clock is behind still takes an assertion that has
 * expired here.
 */
const MARGIN_MS = 120_000;

const insertOf = (table: string, by: string) =>
  ({
    name: `remember_${table}`,
    text: `insert into ${table} (tenant, ${by}, jti_hash, expires_at)
      values ($1, $2, $3, to_timestamp($4)) on conflict do nothing`,
  }) as const;

const REMEMBER = {
  assertions: insertOf('assertions', 'client'),
  dpop_proofs: insertOf('dpop_proofs', 'jkt'),
  actor_tokens: insertOf('actor_tokens', 'agent'),
} as const;

/**
 * The replay memory (RFC 7523 section 3 item 7, RFC 9449 section 11.1). The insert under a unique key
 * is the check, so that of two requests at once one wins.
 */
export function createReplayMemory(database: Database<IssuerTables>): ReplayMemory {
  async function remember(
    table: keyof typeof REMEMBER,
    tenant: string,
    used: { by: string; jtiHash: string; expSeconds: number },
  ): Promise<boolean> {
    const values = [tenant, used.by, used.jtiHash, used.expSeconds];
    const [inserted] = await database.atOnce(tenant, [{ ...REMEMBER[table], values }]);
    return inserted?.rowCount === 1;
  }
  return {
    rememberAssertion: (tenant, { clientId: by, ...used }) =>
      remember('assertions', tenant, { by, ...used }),
    rememberProof: (tenant, { jkt: by, ...used }) =>
      remember('dpop_proofs', tenant, { by, ...used }),
    rememberActorToken: (tenant, { agent: by, ...used }) =>
      remember('actor_tokens', tenant, { by, ...used }),
    forgetExpired: (nowMs) =>
      database.withSystem(async (trx) => {
        const before = new Date(nowMs - MARGIN_MS);
        const assertions = await sql`delete from assertions where expires_at < ${before}`.execute(
          trx,
        );
        const proofs = await sql`delete from dpop_proofs where expires_at < ${before}`.execute(trx);
        const actors = await sql`delete from actor_tokens where expires_at < ${before}`.execute(
          trx,
        );
        return [assertions, proofs, actors].reduce(
          (sum, { numAffectedRows = 0n }) => sum + Number(numAffectedRows),
          0,
        );
      }),
  };
}
