import type { ClaimRequest, ClaimResponse } from '@remit/contracts';
import type { Database } from '@remit/service-kit';
import { insertClaims } from '../store/claims.ts';
import type { Tables } from '../store/tables.ts';
import { createBatches, isDataError } from './batches.ts';

export type Claims = {
  /** Gives a proof to the first attempt that names it, and answers when that is committed. */
  claim(tenant: string, asked: ClaimRequest & { pep: string }): Promise<ClaimResponse>;
};

/** Claims in one transaction at most. */
const MAX_BATCH = 64;

/**
 * The memory of used proofs that all instances of a PEP share (RFC 9449 section 11.1). The attempt
 * that has the row gets `claimed` however often it asks, every other one `replayed`. Leaves no record:
 * the call's own record is the PEP's.
 */
export function createClaims(options: {
  database: Database<Tables>;
  onClaimed?: (outcome: ClaimResponse['outcome']) => void;
}): Claims {
  const { database, onClaimed } = options;
  const batched = createBatches<ClaimRequest & { pep: string }, ClaimResponse>({
    run: (tenant, asked) =>
      database.withTenant(tenant, async (trx) => {
        const owners = await insertClaims(
          trx,
          tenant,
          asked.map(({ keep_seconds, ...claim }) => ({ ...claim, keepSeconds: keep_seconds })),
        );
        return asked.map(({ proof, attempt, pep }): ClaimResponse => {
          const owner = owners.get(proof);
          const own = owner?.attempt === attempt && owner.pep === pep;
          return { outcome: own ? 'claimed' : 'replayed' };
        });
      }),
    isApart: isDataError,
    maxItems: MAX_BATCH,
  });
  return {
    async claim(tenant, asked) {
      const answer = await batched(tenant, asked);
      onClaimed?.(answer.outcome);
      return answer;
    },
  };
}
