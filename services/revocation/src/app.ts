import { join } from 'node:path';
import {
  type App,
  createOutbox,
  type Kit,
  type KitDeps,
  NotReady,
  openKit,
  readJsonFile,
  readSigner,
} from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import type { JWK } from 'jose';
import { announceNextKeys, createAnnouncer } from './bus/announce.ts';
import { createBeats } from './bus/beats.ts';
import { createChanges } from './bus/changes.ts';
import { followSources } from './bus/follow-sources.ts';
import { createHandlers } from './bus/handlers.ts';
import { createSourceWatch } from './bus/source-watch.ts';
import type { RevocationConfig } from './config.ts';
import { createClaims } from './domain/claims.ts';
import { createConsumer } from './domain/consumer.ts';
import { createJournal } from './domain/journal.ts';
import { createRevoker } from './domain/revoker.ts';
import { createSpender } from './domain/spender.ts';
import { createStatusLists, createStatusSigner } from './domain/status-list.ts';
import { createStoreGuard, guarded } from './domain/store-guard.ts';
import { revokeRoute } from './http/revoke.ts';
import { statusRoute } from './http/status.ts';
import { createFeedMetrics } from './metrics.ts';
import { forgetClaims } from './store/claims.ts';
import { isLed } from './store/lease.ts';
import { ensureHead } from './store/point.ts';
import { SOURCES } from './store/positions.ts';
import type { Tables } from './store/tables.ts';
import { forgetOld } from './store/upkeep.ts';
import { forgetUses } from './store/uses.ts';

export const NAME = 'revocation';
export const VERSION = '0.1.0';

/** Between two deletions of uses whose time of keeping is over. */
const FORGET_EVERY_MS = 60_000;

/** Between two deletions of registrations, lists and entries that say nothing any more. */
const TIDY_EVERY_MS = 600_000;

export type RevocationDeps = KitDeps & {
  /** Milliseconds of a monotonic clock. */
  monotonicMs?: () => number;
  /** Milliseconds without any event after which a missing one is lost; 5000 by default. */
  lostAfterMs?: number;
};

/**
 * Builds the revocation service: the log of what is revoked, its feed and beats, registrations and
 * status lists. Used by main and by tests alike.
 */
export async function build(
  config: RevocationConfig,
  deps: RevocationDeps = {},
): Promise<App & { http: FastifyInstance }> {
  const kit = await openKit<Tables>({ name: NAME, version: VERSION, config, deps });
  try {
    return await assemble(kit, config, deps);
  } catch (error) {
    await kit.lifecycle.stop();
    throw error;
  }
}

async function assemble(
  kit: Kit<Tables>,
  config: RevocationConfig,
  deps: RevocationDeps,
): Promise<App & { http: FastifyInstance }> {
  const { bus, database, health, http, lifecycle, log } = kit;
  const { monotonicMs = () => performance.now(), lostAfterMs } = deps;
  const verifiers = { registry: kit.verifiers.registry, pdp: kit.verifiers.pdp };
  const signer = readSigner(config.busSignerFile);
  const statusKeys = readSigner(config.statusSignerFile);
  const { keys } = readJsonFile(config.statusSignerFile) as { keys: (JWK & { kid: string })[] };
  const sign = await createStatusSigner({ ...(keys[0] as JWK), kid: statusKeys.kid });
  const statusUri = (tenant: string, list: number): string =>
    `${config.publicUrl}/t/${tenant}/status/${list}`;

  const outbox = createOutbox<Tables>({
    database,
    log,
    // Core delivery, while it is fast: the head in the next beat shows what got lost.
    send: async ({ subject, payload }, handedOver) => {
      if (!handedOver) bus.publish(subject, payload);
      await bus.flush();
    },
    // Ahead of the answer on the same connection, so that PEPs have it when the answer comes.
    sendAtOnce: ({ subject, payload }) => {
      if (bus.status() !== 'connected') return false;
      bus.publish(subject, payload);
      return true;
    },
  });
  const watch = createSourceWatch({ monotonicMs });
  const late = (): string | null =>
    SOURCES.map((source) => watch.late(source)).find((why) => why !== null) ?? null;
  const holder = `${kit.instance}-${crypto.randomUUID()}`;
  let wentBack = 0;
  const guard = createStoreGuard({
    database,
    log,
    file: join(config.spoolDir, 'store-seen.json'),
    monotonicMs,
    onWentBack: () => wentBack++,
  });
  // The second look is at the epoch that the first one began.
  if (!(await guard.verify())) await guard.verify();
  const beats = createBeats({
    database,
    bus,
    signer,
    log,
    holder,
    monotonicMs,
    late,
    guard,
    announce: createAnnouncer({ database, bus, monotonicMs }),
  });
  const metrics = createFeedMetrics(kit.metrics, {
    beats,
    outbox,
    watch,
    wentBack: () => wentBack,
  });

  const journal = createJournal({ outbox, signer });
  const revoker = createRevoker({
    database,
    journal,
    recorder: kit.recorder,
    log,
    onRevoked: metrics.revoked,
  });
  const consumer = createConsumer({
    database,
    recorder: kit.recorder,
    log,
    retentionSeconds: config.useRetentionSeconds,
    onConsumed: metrics.consumed,
    onBatch: metrics.consumedTogether,
  });
  const claims = createClaims({ database, onClaimed: metrics.claimed });
  const changes = createChanges({
    database,
    journal,
    log,
    verifiers,
    onApplied: ({ source, tenant, effect }) => {
      metrics.changed(source, effect.verb);
      if (effect.verb !== 'revoke') return;
      const { kind, id } = effect;
      void revoker.recorded(tenant, { kind, id, by: { kind: 'service', id: source } });
    },
    onQuarantined: metrics.quarantined,
  });
  const lists = createStatusLists({
    database,
    sign,
    uri: statusUri,
    ttlSeconds: config.statusTtlSeconds,
    onMade: metrics.listMade,
  });
  const spender = createSpender({ database, log, on: metrics.budgets });
  const handlers = createHandlers({
    database,
    revoker,
    consumer,
    claims,
    spender,
    statusUri,
    listBits: config.statusListBits,
    observed: metrics,
  });

  revokeRoute(kit, { ...revoker, ...guarded(guard, { revoke: revoker.revoke }) });
  statusRoute(http, guarded(guard, lists));
  kit.publishKeys(() => [signer, statusKeys]);
  for (const source of SOURCES) {
    health.add(`feed_of_${source}`, () => {
      const why = watch.late(source);
      if (why !== null) throw new NotReady(why);
    });
  }
  health.add('store', () => {
    if (!guard.known()) throw new NotReady('the store has not been found as it was left');
  });
  health.add('lease', async () => {
    if (!(await isLed(database))) throw new NotReady('nobody leads the revocation feed');
  });

  return kit.app({
    start: async () => {
      for (const tenant of Object.keys(kit.trust.tenants)) {
        await database.withTenant(tenant, (trx) => ensureHead(trx, tenant));
      }
      await announceNextKeys({ database, signer, log, now: kit.clock.now() });
      kit.serve('revocation', guarded(guard, handlers), signer);
      const forgetting = setInterval(() => {
        forgetUses(database)
          .then(metrics.usesForgotten)
          .catch((error: unknown) => log.warn({ err: error }, 'old uses could not be deleted'));
        forgetClaims(database).catch((error: unknown) =>
          log.warn({ err: error }, 'old claims of proofs could not be deleted'),
        );
      }, FORGET_EVERY_MS);
      lifecycle.onStop('consumers', 'old uses', () => clearInterval(forgetting));
      const tidying = setInterval(() => {
        forgetOld(database)
          .then(metrics.forgotten)
          .catch((error: unknown) => log.warn({ err: error }, 'old rows could not be deleted'));
      }, TIDY_EVERY_MS);
      lifecycle.onStop('consumers', 'old rows', () => clearInterval(tidying));
      const spending = spender.start();
      lifecycle.onStop('consumers', 'budgets', () => spending.stop());
      outbox.start();
      lifecycle.onStop('recorder', 'outbox', () => outbox.stop());
      const following = followSources({
        bus,
        verifiers,
        watch,
        database,
        changes,
        log,
        onRefused: metrics.beatRefused,
        lostAfterMs,
      });
      for (const consumption of changes.consume(bus)) {
        lifecycle.onStop('consumers', 'changes', () => consumption.stop());
      }
      lifecycle.onStop('consumers', 'sources', () => following.stop());
      beats.start();
      lifecycle.onStop('consumers', 'beats', () => beats.stop());
    },
  });
}
