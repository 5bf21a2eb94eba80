import { durables, streams } from '@remit/contracts';
import { emptyRoot, signCheckpoint } from '@remit/ledger';
import { type App, type KitDeps, openKit, readSigner } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import { createAnchorKeeper } from './anchor/keeper.ts';
import { openAnchors } from './anchor/open.ts';
import { createMarks } from './bus/marks.ts';
import { createCheckpointer } from './checkpoint/checkpointer.ts';
import { readCheckpointKeys } from './checkpoint/keys.ts';
import { openOutsideStore } from './checkpoint/outside.ts';
import type { AuditConfig } from './config.ts';
import { exportRoute } from './http/export.ts';
import { createGuard } from './http/guard.ts';
import { holdRoutes } from './http/holds.ts';
import { ledgerRoutes } from './http/ledger.ts';
import { recordRoutes } from './http/records.ts';
import { taskRoute } from './http/task.ts';
import { createGapWatch } from './ingest/gap-watch.ts';
import { createIngest } from './ingest/ingest.ts';
import { readValuePolicy } from './ingest/value-policy.ts';
import { createRetentionKeeper } from './retention/keeper.ts';
import { tenantsWithRecords } from './store/checkpoints.ts';
import type { AuditTables } from './store/tables.ts';

export const VERSION = '0.1.0';

/** Records of one transaction, at most: under load a commit, a mark and a lock serve more of them. */
const BATCH = 1_000;

/**
 * Builds the audit service: the only writer of the ledger. Consumes the stream AUDIT into it, says
 * what is committed, signs its heads, answers auditors. Used by main and by tests.
 */
export async function build(
  config: AuditConfig,
  deps: KitDeps = {},
): Promise<App & { http: FastifyInstance }> {
  const kit = await openKit<AuditTables>({ name: 'audit', version: VERSION, config, deps });
  const { bus, clock, database, http, lifecycle, log, metrics, people, recorder, trust } = kit;
  try {
    const signer = readSigner(config.busSignerFile);
    const keys = readCheckpointKeys(config.checkpointSignerFile, trust, clock);
    const outside = await openOutsideStore(config.checkpointDir);
    const marks = createMarks({ database, bus, signer, clock, log, metrics });
    const anchors = createAnchorKeeper({
      anchors: openAnchors(config, keys),
      database,
      clock,
      log,
      metrics,
      everySeconds: config.anchorSeconds,
      signEmpty: (tenant) =>
        signCheckpoint(
          { origin: keys.origin(tenant), size: 0, root: emptyRoot() },
          keys.signers(tenant),
        ),
      onContradiction: (tenant, error) => checkpointer.halt(tenant, error),
    });
    const checkpointer = createCheckpointer({
      database,
      bus,
      busSigner: signer,
      keys,
      outside,
      clock,
      log,
      metrics,
      everyRecords: config.checkpointRecords,
      everySeconds: config.checkpointSeconds,
      onSigned: (tenant) => anchors.offer(tenant),
    });
    const gaps = createGapWatch({ database, log, metrics, gapSeconds: config.gapSeconds });
    const days = config.retentionDays;
    const retention = createRetentionKeeper({ database, recorder, clock, log, days });
    const ingest = createIngest({
      database,
      policy: readValuePolicy(config.valuePolicyFile),
      log,
      metrics,
      onCommitted: async (appended, touched) => {
        for (const { tenant, size } of appended) checkpointer.committed(tenant, size);
        await marks.committed(touched);
      },
    });
    let waiting = 0;
    metrics.gauge('remit_audit_pending', 'Messages of the stream not read yet.', () => waiting);

    const guard = createGuard({ people, recorder });
    recordRoutes(http, { database, guard });
    taskRoute(http, { database, guard });
    holdRoutes(http, { database, guard });
    exportRoute(http, { database, guard, keys, checkpointer, anchors });
    ledgerRoutes(http, { database, guard, keys, outside, checkpointer, metrics });
    kit.publishKeys(() => [signer, { ...signer, publicJwks: () => ({ keys: keys.publicJwks() }) }]);

    return kit.app({
      start: async () => {
        // A ledger that is behind, or other, than what was signed of it before is not continued.
        const heads = await database.withSystem(tenantsWithRecords, { readOnly: true });
        const tenants = [...heads.map(({ tenant }) => tenant), ...Object.keys(trust.tenants)];
        for (const tenant of new Set(tenants)) {
          await checkpointer.compare(tenant);
          await anchors.anchor(tenant);
        }
        await bus.ensureStream(streams.AUDIT, { replicas: config.streamReplicas });
        for (const siem of config.siemDurables.split(',')) {
          await bus.ensureConsumer(durables.auditSiem.stream, siem);
        }
        const { stream, durable } = durables.auditIngest;
        // What a killed writer had in hand comes again before its absence counts as a gap.
        const consumer = { ackWaitMs: Math.min(2_500, config.gapSeconds * 1_000) };
        const consumption = bus.consume(
          { stream, durable, consumer, batch: BATCH },
          async (messages) => {
            await ingest(messages);
            waiting = messages.at(-1)?.pending ?? 0;
          },
        );
        lifecycle.onStop('consumers', 'ingest', () => consumption.stop());
        // It serves no method, but is found by discovery like every other service.
        const micro = bus.respondToMicro({ name: kit.name, version: VERSION });
        lifecycle.onStop('consumers', 'discovery', () => micro.stop());
        marks.start();
        checkpointer.start();
        anchors.start();
        gaps.start();
        retention.start();
        lifecycle.onStop('consumers', 'retention', () => retention.stop());
        lifecycle.onStop('recorder', 'marks', () => marks.stop());
        lifecycle.onStop('recorder', 'checkpoints', () => checkpointer.stop());
        lifecycle.onStop('recorder', 'anchors', () => anchors.stop());
        lifecycle.onStop('consumers', 'gaps', () => gaps.stop());
        await consumption.ready;
      },
    });
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}
