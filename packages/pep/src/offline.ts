import type { ChainLink } from '@remit/capability/link';
import type { Recorder } from '@remit/recorder';
import { LRUCache } from 'lru-cache';
import { delegatedRecord } from './record.ts';
import type { VerifiedToken } from './verified-token.ts';

/** Records links that this PEP sees for the first time: nobody else was told that they were made. */
export type OfflineDelegations = {
  /** Resolves when every link of the token has its record. Rejects when one could not be kept. */
  record(caller: VerifiedToken): Promise<void>;
};

/**
 * Remembers the ids of links that were recorded, `maxLinks` (default 10,000) of those used last; one that
 * is forgotten, or comes after a restart, is recorded again. Call it for callers who proved themselves
 * alone: what a stranger sends leaves no record.
 */
export function createOfflineDelegations(options: {
  recorder: Pick<Recorder, 'record'>;
  tenant: string;
  audience: string;
  maxLinks?: number;
}): OfflineDelegations {
  const { recorder, tenant, audience, maxLinks = 10_000 } = options;
  const known = new LRUCache<string, Promise<unknown>>({ max: maxLinks });

  function keep(caller: VerifiedToken, link: ChainLink, at: number): Promise<unknown> {
    // Whoever signs a link chooses its id: with the token, so that nobody's record stands for another's.
    const key = `${caller.links[0]?.capability.lineage.at(-1)} ${link.id} ${link.jkt}`;
    const earlier = known.get(key);
    if (earlier) return earlier;
    const record = recorder.record(tenant, delegatedRecord(audience, caller, at));
    known.set(key, record);
    record.catch(() => known.delete(key));
    return record;
  }

  return {
    async record(caller) {
      for (const [at, link] of caller.links.entries()) await keep(caller, link, at);
    },
  };
}
