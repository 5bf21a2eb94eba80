import type { Bus, Signer } from '@remit/bus';
import { type FeedKey, SIGNED, subjects } from '@remit/contracts';
import type { Database, Logger } from '@remit/service-kit';
import { announcements, rememberedKeys, rememberKey } from '../store/feed-keys.ts';
import type { Tables } from '../store/tables.ts';

/** Between two repetitions of the announcements on every shard. */
const ANNOUNCE_EVERY_MS = 2_000;

/**
 * Announces the next keys of the feed's signer file: whatever stands behind the first and has neither
 * been announced nor signed before, signed by the first. A key that signed once is never announced, so
 * an old one that was left in the file gains nothing.
 */
export async function announceNextKeys(options: {
  database: Database<Tables>;
  signer: Signer;
  log: Logger;
  now: number;
}): Promise<void> {
  const { database, signer, log, now } = options;
  const known = await rememberedKeys(database);
  await rememberKey(database, { kid: signer.kid });
  for (const jwk of signer.publicJwks().keys) {
    const kid = jwk.kid as string;
    if (kid === signer.kid || known.has(kid)) continue;
    const key: FeedKey = { use: 'revocation', jwk, at: Math.floor(now / 1_000) };
    await rememberKey(database, { kid, jws: signer.sign(SIGNED.feedKey, JSON.stringify(key)) });
    log.info({ kid, by: signer.kid }, 'the next key of the feed is announced');
  }
}

/**
 * Repeats every announcement beside the beats of the given shards. They stay as they were signed: a
 * PEP that pins the first key follows them to the present one, whoever holds the first by then.
 */
export function createAnnouncer(options: {
  database: Database<Tables>;
  bus: Pick<Bus, 'publish'>;
  monotonicMs: () => number;
  everyMs?: number;
}): (shards: ReadonlySet<number>) => Promise<void> {
  const { database, bus, monotonicMs, everyMs = ANNOUNCE_EVERY_MS } = options;
  let sentAtMs: number | null = null;
  return async (shards) => {
    if (sentAtMs !== null && monotonicMs() - sentAtMs < everyMs) return;
    sentAtMs = monotonicMs();
    const signed = await announcements(database);
    for (const shard of shards) {
      for (const jws of signed) bus.publish(subjects.revocationBeat(shard), jws);
    }
  };
}
