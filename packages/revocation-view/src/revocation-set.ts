import { type RevocationEntry, type TokenSubjects, tenantId } from '@remit/contracts';
import { createEntries, type Hit } from './entries.ts';

export type RevocationHit = Hit;

/** What a list of entries revokes, read as the view reads it, for who has the whole log at hand. */
export type RevocationSet = {
  learn(entry: RevocationEntry): void;
  /**
   * The revocation that hits a token, in the order in which the view names them. Compares `rev.seq`;
   * that `rev.epoch` is the entries' is the caller's to check.
   */
  hit(subjects: TokenSubjects): RevocationHit | undefined;
};

/** Creates an empty set of one tenant. `hashSeed` as in the view's options. */
export function createRevocationSet(options: { tenant: string; hashSeed?: number }): RevocationSet {
  const entries = createEntries(tenantId(options.tenant), (options.hashSeed ?? 0) | 0);
  return {
    learn: entries.learn,
    hit: (subjects) => entries.single(subjects) ?? entries.wide(subjects),
  };
}
