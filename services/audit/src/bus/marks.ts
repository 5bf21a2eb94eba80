import type { Bus, Signer } from '@remit/bus';
import { type AuditMark, SIGNED, subjects } from '@remit/contracts';
import type { Clock, Database, Logger, Metrics } from '@remit/service-kit';
import type { Touched } from '../ingest/ingest.ts';
import { contiguousNumbers } from '../store/numbers.ts';
import type { AuditTables } from '../store/tables.ts';

export type Marks = {
  /** Remembers who waits for marks, and publishes theirs. Call it after the commit. */
  committed(touched: readonly Touched[]): Promise<void>;
  /** Publishes the marks of everybody who was heard of lately: one of them may have been lost. */
  repeat(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
};

const REPEAT_MS = 1_000;
/** How long a producer's marks are repeated after its last record. */
const KEEP_MS = 60_000;
/** Boots in one mark; the schema's limit. */
const MAX_BOOTS = 64;

/**
 * Tells producers what is committed, so that they may forget it: signed, since a forged mark would
 * make a producer drop what nobody has. Marks are read from the database, so that a replica that
 * restarts says the same. At most once; a lost one is repeated.
 */
export function createMarks(options: {
  database: Database<AuditTables>;
  bus: Bus;
  signer: Signer;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}): Marks {
  const { database, bus, signer, clock, log, metrics } = options;
  const published = metrics.counter('remit_audit_marks_total', 'Commit marks published.');
  /** tenant → producer → boot → when it was heard of. */
  const heard = new Map<string, Map<string, Map<string, number>>>();
  let timer: NodeJS.Timeout | undefined;
  let repeating: Promise<void> | undefined;

  function remember({ tenant, producer, boot }: Touched): void {
    const producers = entry(heard, tenant);
    const boots = entry(producers, producer);
    boots.delete(boot);
    boots.set(boot, clock.now());
    // The oldest is the first: a Map keeps the order of insertion.
    const [oldest] = boots.keys();
    if (boots.size > MAX_BOOTS && oldest !== undefined) boots.delete(oldest);
  }

  async function publish(tenant: string, producers: Iterable<string>): Promise<void> {
    const marks = await database.withTenant(
      tenant,
      async (trx) => {
        const found: AuditMark[] = [];
        for (const producer of producers) {
          const boots = [...(heard.get(tenant)?.get(producer)?.keys() ?? [])];
          const numbers = await contiguousNumbers(trx, tenant, producer, boots);
          if (numbers.length > 0) {
            found.push({ tenant, producer, time: clock.now(), marks: numbers });
          }
        }
        return found;
      },
      { readOnly: true },
    );
    for (const mark of marks) {
      const jws = signer.sign(SIGNED.mark, JSON.stringify(mark));
      bus.publish(subjects.auditMark(tenant, mark.producer), jws);
      published.add();
    }
  }

  async function publishQuietly(tenant: string, producers: Iterable<string>): Promise<void> {
    try {
      await publish(tenant, producers);
    } catch (error) {
      // The records are committed whatever becomes of the mark; it is repeated.
      log.warn({ err: error, tenant }, 'commit marks could not be published now');
    }
  }

  function forgetOld(): void {
    const before = clock.now() - KEEP_MS;
    for (const [tenant, producers] of heard) {
      for (const [producer, boots] of producers) {
        for (const [boot, at] of boots) if (at < before) boots.delete(boot);
        if (boots.size === 0) producers.delete(producer);
      }
      if (producers.size === 0) heard.delete(tenant);
    }
  }

  async function repeat(): Promise<void> {
    forgetOld();
    for (const [tenant, producers] of heard) await publishQuietly(tenant, [...producers.keys()]);
  }

  return {
    async committed(touched) {
      const now = new Map<string, Set<string>>();
      for (const one of touched) {
        remember(one);
        const producers = now.get(one.tenant) ?? new Set();
        now.set(one.tenant, producers.add(one.producer));
      }
      for (const [tenant, producers] of now) await publishQuietly(tenant, producers);
    },
    repeat,
    start() {
      timer = setInterval(() => {
        repeating ??= repeat().finally(() => {
          repeating = undefined;
        });
      }, REPEAT_MS);
    },
    async stop() {
      clearInterval(timer);
      await repeating;
    },
  };
}

function entry<V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let value = map.get(key);
  if (value === undefined) {
    value = new Map();
    map.set(key, value);
  }
  return value;
}
