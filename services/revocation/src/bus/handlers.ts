import type { Handlers } from '@remit/bus';
import type { Database } from '@remit/service-kit';
import { firstHit } from '../domain/check.ts';
import type { Claims } from '../domain/claims.ts';
import type { Consumer } from '../domain/consumer.ts';
import { createFeedAnswers } from '../domain/feed-answers.ts';
import { registerAlone } from '../domain/register.ts';
import type { Revoker } from '../domain/revoker.ts';
import type { Spender } from '../domain/spender.ts';
import { headAndNaming } from '../store/revocations.ts';
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
  const feed = createFeedAnswers(database);

  return {
    /** The head is read before anything else: what is revoked later is above it. */
    check: async ({ tenant }, body) => {
      const { head, revocations } = await headAndNaming(database, tenant, body);
      const revoked = firstHit(tenant, head, body, revocations);
      observed.checked(revoked ? 'revoked' : 'clear');
      return { head, ...(revoked ? { revoked } : {}) };
    },

    register: async ({ tenant }, body) => {
      const { list, idx, dead } = await registerAlone(database, tenant, body, { listBits });
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

    head: ({ tenant }, body) => feed.head(tenant, body),

    since: ({ tenant }, body) => feed.since(tenant, body),

    snapshot: ({ tenant }, body) => feed.snapshot(tenant, body),
  };
}
