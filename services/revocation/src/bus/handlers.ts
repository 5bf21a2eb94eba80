import type { Handlers } from '@remit/bus';
import type { Database } from '@remit/service-kit';
import { firstHit } from '../domain/check.ts';
import type { Claims } from '../domain/claims.ts';
import type { Consumer } from '../domain/consumer.ts';
import { since, snapshot } from '../domain/feed-pages.ts';
import { register } from '../domain/register.ts';
import type { Revoker } from '../domain/revoker.ts';
import type { Spender } from '../domain/spender.ts';
import { readPoint } from '../store/point.ts';
import { revocationsNaming } from '../store/revocations.ts';
import type { Tables } from '../store/tables.ts';

/** What happened, for the metrics. */
export type Observed = {
  checked(outcome: 'clear' | 'revoked'): void;
  registered(outcome: 'live' | 'dead'): void;
};

/** Answers the requests of issuer, pdp and PEPs. */
export function createHandlers(options: {
  database: Database<Tables>;
  revoker: Revoker;
  consumer: Consumer;
  claims: Claims;
  spender: Spender;
  statusUri: (tenant: string, list: number) => string;
  listBits: number;
  observed: Observed;
}): Handlers<'revocation'> {
  const { database, revoker, consumer, claims, spender, statusUri, listBits, observed } = options;
  return {
    /** The head is read before anything else: what is revoked later is above it. */
    check: ({ tenant }, body) =>
      database.withTenant(tenant, async (trx) => {
        const point = await readPoint(trx, tenant);
        const revoked = firstHit(tenant, point, body, await revocationsNaming(trx, tenant, body));
        observed.checked(revoked ? 'revoked' : 'clear');
        const head = { epoch: point.epoch, seq: point.seq };
        return { head, ...(revoked ? { revoked } : {}) };
      }),

    register: async ({ tenant }, body) => {
      const { list, idx, dead } = await database.withTenant(tenant, (trx) =>
        register(trx, tenant, body, { listBits }),
      );
      observed.registered(dead ? 'dead' : 'live');
      return { idx, uri: statusUri(tenant, list) };
    },

    revoke: ({ tenant }, body) => revoker.revoke(tenant, body),

    claim: ({ tenant, caller }, body) => claims.claim(tenant, { ...body, pep: caller }),

    consume: ({ tenant, caller }, body) => consumer.consume(tenant, { ...body, pep: caller }),

    reserve: ({ tenant, caller }, body) => spender.reserve(tenant, { ...body, pep: caller }),

    commit: ({ tenant, caller }, { attempt }) =>
      spender.settle(tenant, { attempt, pep: caller, to: 'committed' }),

    release: ({ tenant, caller }, { attempt }) =>
      spender.settle(tenant, { attempt, pep: caller, to: 'released' }),

    head: ({ tenant }, { nonce }) =>
      database.withTenant(tenant, async (trx) => {
        const { epoch, seq, term, timeMs, tag } = await readPoint(trx, tenant);
        return { nonce, epoch, seq, term, time: timeMs, tag };
      }),

    since: ({ tenant }, body) => database.withTenant(tenant, (trx) => since(trx, tenant, body)),

    snapshot: ({ tenant }, body) =>
      database.withTenant(tenant, (trx) => snapshot(trx, tenant, body)),
  };
}
