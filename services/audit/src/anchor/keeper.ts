import { consistencyProof, peekCheckpoint, rootAt } from '@remit/ledger';
import type { Clock, Database, Logger, Metrics } from '@remit/service-kit';
import { newestCheckpoint, storeCosignature } from '../store/checkpoints.ts';
import type { AuditTables } from '../store/tables.ts';
import { hashReader } from '../store/tree.ts';
import { type Anchor, type Head, isContradiction } from './anchor.ts';

export type AnchorKeeper = {
  /** Brings the newest checkpoint of a tenant to every anchor. Throws what an anchor contradicts. */
  anchor(tenant: string): Promise<void>;
  /** Told of every new checkpoint; it is brought to the anchors at the next round. */
  offer(tenant: string): void;
  /** One round over every tenant that waits. */
  round(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
};

/**
 * Brings checkpoints to the anchors, the newest of each tenant at most once per round. An anchor that
 * is away is an alarm and a metric, and waits for the next round; ingestion never does. One that
 * contradicts the ledger is told to `onContradiction`, so that nothing more is signed.
 */
export function createAnchorKeeper(options: {
  anchors: readonly Anchor[];
  database: Database<AuditTables>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  everySeconds: number;
  /** The signed checkpoint of a ledger without records. */
  signEmpty: (tenant: string) => string;
  onContradiction: (tenant: string, error: Error) => void;
}): AnchorKeeper {
  const { anchors, database, clock, log, metrics, signEmpty, onContradiction } = options;
  const anchored = metrics.counter(
    'remit_audit_anchored_total',
    'Checkpoints that an anchor took, by anchor.',
  );
  const failures = metrics.counter(
    'remit_audit_anchor_failures_total',
    'Times that an anchor did not take a checkpoint, by anchor.',
  );
  /** anchor → tenant → since when its newest checkpoint waits. */
  const waiting = new Map(anchors.map(({ name }) => [name, new Map<string, number>()]));
  metrics.gauge(
    'remit_audit_anchor_behind_seconds',
    'How long the oldest checkpoint waits for an anchor.',
    () =>
      anchors.map(({ name }) => {
        const since = Math.min(...(waiting.get(name)?.values() ?? []), clock.now());
        return { labels: { anchor: name }, value: (clock.now() - since) / 1_000 };
      }),
  );
  const away = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;

  async function headOf(tenant: string): Promise<Head> {
    const found = await database.withTenant(tenant, (trx) => newestCheckpoint(trx, tenant), {
      readOnly: true,
    });
    // An anchor that knows of records must be asked by a ledger that has none, too.
    const note = found?.note ?? signEmpty(tenant);
    const { size } = peekCheckpoint(note);
    const reading = <T>(read: (reader: ReturnType<typeof hashReader>) => Promise<T>): Promise<T> =>
      database.withTenant(tenant, (trx) => read(hashReader(trx, tenant)), { readOnly: true });
    return {
      tenant,
      size,
      note,
      rootAt: (count) => reading((reader) => rootAt(reader, count)),
      prove: (oldSize) => reading((reader) => consistencyProof(reader, oldSize, size)),
    };
  }

  /** Whether the anchor took it; throws only what contradicts the ledger. */
  async function give(anchor: Anchor, head: Head): Promise<boolean> {
    const { name } = anchor;
    const { tenant, size } = head;
    try {
      const lines = await anchor.take(head);
      if (lines !== undefined && size > 0) {
        await database.withTenant(tenant, (trx) =>
          storeCosignature(trx, { tenant, size, cosigner: name, lines }),
        );
      }
      anchored.add({ anchor: name });
      if (away.delete(name)) log.info({ anchor: name }, 'the anchor takes checkpoints again');
      return true;
    } catch (error) {
      failures.add({ anchor: name });
      if (isContradiction(error)) {
        log.error({ err: error, tenant, alarm: 'ledger', anchor: name }, error.message);
        onContradiction(tenant, error);
        throw error;
      }
      if (!away.has(name)) {
        away.add(name);
        const message = 'an anchor does not take checkpoints; it is tried again';
        log.error({ err: error, tenant, alarm: 'anchor', anchor: name }, message);
      }
      return false;
    }
  }

  async function anchorTo(anchor: Anchor, tenant: string): Promise<void> {
    const head = await headOf(tenant);
    const mine = waiting.get(anchor.name);
    const since = mine?.get(tenant);
    if (!(await give(anchor, head))) return void mine?.set(tenant, since ?? clock.now());
    // What was signed meanwhile waits on.
    if (mine?.get(tenant) === since) mine?.delete(tenant);
  }

  async function round(): Promise<void> {
    const rounds = anchors.map(async (anchor) => {
      for (const tenant of [...(waiting.get(anchor.name)?.keys() ?? [])]) {
        await anchorTo(anchor, tenant).catch((error: unknown) => {
          if (!isContradiction(error)) log.warn({ err: error, tenant }, 'not anchored now');
        });
      }
    });
    await Promise.all(rounds);
  }

  return {
    async anchor(tenant) {
      await Promise.all(anchors.map((anchor) => anchorTo(anchor, tenant)));
    },
    offer(tenant) {
      for (const tenants of waiting.values()) {
        if (!tenants.has(tenant)) tenants.set(tenant, clock.now());
      }
    },
    round,
    start() {
      timer = setInterval(() => {
        running ??= round().finally(() => {
          running = undefined;
        });
      }, options.everySeconds * 1_000);
    },
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
