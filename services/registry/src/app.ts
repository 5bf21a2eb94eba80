import type { Signer } from '@remit/bus';
import { streams } from '@remit/contracts';
import {
  type App,
  createOutbox,
  createPeopleAuth,
  type KitDeps,
  openKit,
  readSigner,
  strangerCounter,
} from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { createBeats } from './bus/beats.ts';
import { createLoadReports } from './bus/load-reports.ts';
import type { RegistryConfig } from './config.ts';
import { RegistryError } from './error.ts';
import { adminRoutes } from './http/admin.ts';
import { createGuard } from './http/guard.ts';
import { createChangeWriter } from './store/changes.ts';
import { createStoreDirectory } from './store/directory.ts';
import type { RegistryTables } from './store/tables.ts';

export const VERSION = '0.1.0';

/**
 * Builds the registry: who is who for each tenant. Answers look-ups from one database snapshot, sends
 * signed events of its changes and beats, lets administrators switch users and agents off and on.
 * Used by main and by tests.
 */
export async function build(
  config: RegistryConfig,
  deps: KitDeps = {},
): Promise<App & { http: FastifyInstance }> {
  const kit = await openKit<RegistryTables>({ name: 'registry', version: VERSION, config, deps });
  const { bus, clock, database, http, lifecycle, log, metrics, recorder } = kit;
  try {
    const signer = readSigner(config.busSignerFile);
    const envelopeSigner = readSigner(config.envelopeSignerFile);
    requirePinned('bus', signer, kit.verifiers.registry.kids());
    requirePinned('envelope', envelopeSigner, kit.verifiers.envelope.kids());
    const outbox = createOutbox({
      database,
      log,
      pollMs: 200,
      send: async ({ subject, payload, messageId }) => {
        await bus.publishRecord(subject, payload, messageId);
      },
    });
    metrics.gauge('remit_outbox_unsent', 'Events that wait to be sent.', () => outbox.lag().unsent);
    metrics.gauge(
      'remit_outbox_lag_seconds',
      'Age of the oldest event that waits.',
      () => outbox.lag().oldestSeconds,
    );
    const directory = createStoreDirectory(database);
    const writer = createChangeWriter({ outbox, signer, clock });
    const people = createPeopleAuth({
      directory,
      keys: kit.idpKeys,
      audience: kit.audience,
      onStranger: strangerCounter(kit.recorder, kit.trust),
    });
    const guard = createGuard({ people, recorder });
    adminRoutes(http, { database, directory, writer, guard, recorder });
    kit.publishKeys(() => [signer, envelopeSigner]);
    const beats = createBeats({ bus, signer, clock, log, head: outbox.head });
    metrics.gauge('remit_registry_beats', 'Beats sent since the start.', beats.sent);
    const reports = createLoadReports({ database, recorder, log });

    return kit.app({
      start: async () => {
        await bus.ensureStream(streams.REGISTRY, { replicas: config.streamReplicas });
        kit.serve(
          'registry',
          {
            lookup: ({ tenant }, body) => directory.lookup(tenant, body),
            body: async ({ tenant }, { digest }) => ({
              digest,
              text: await directory.bodyText(tenant, digest),
            }),
          },
          signer,
        );
        outbox.start();
        lifecycle.onStop('consumers', 'outbox', outbox.stop);
        reports.start();
        lifecycle.onStop('consumers', 'load reports', reports.stop);
        beats.start();
        // Registered last, so it ends first: no beat says "fresh" while the rest goes away.
        lifecycle.onStop('consumers', 'beats', beats.stop);
      },
    });
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

/** A key that nobody believes is found at the start, not when everything is stale. */
function requirePinned(purpose: string, signer: Signer, pinned: readonly string[]): void {
  if (pinned.includes(signer.kid)) return;
  throw new RegistryError(
    'SIGNER_UNPINNED',
    `The ${purpose} signer's key ${signer.kid} is not in the trust file. Give the signer file that belongs to it.`,
    { kid: signer.kid },
  );
}
