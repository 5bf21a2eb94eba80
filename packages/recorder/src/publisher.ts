import { type Bus, BusError } from '@remit/bus';
import { subjects } from '@remit/contracts';
import type { Pending, PendingEntry, PendingStream } from './pending.ts';
import type { Spool } from './spool.ts';

const MAX_PATIENCE_MS = 60_000;
const REPUBLISH_AT_ONCE = 32;

export type PublisherOptions = {
  bus: Pick<Bus, 'publishRecord' | 'status' | 'onStatus'>;
  spool: Spool;
  pending: Pending;
  producerName: string;
  slowBusMs: number;
  republishAfterMs: number;
  stats: { republished: number; duplicates: number };
  warn: (fields: Record<string, unknown>, message: string) => void;
};

export type Publisher = {
  /** Publishes a record for the first time and resolves at its first home. Throws when it has none. */
  publishFirst(entry: PendingEntry, payload: string): Promise<'bus' | 'spool'>;
  /** Publishes what earlier starts left, and from then on whatever stays without a mark. */
  start(): void;
  stop(): Promise<void>;
};

/** Brings spooled records to the stream, again and again until a mark takes them out. */
export function createPublisher(options: PublisherOptions): Publisher {
  const { bus, spool, pending, producerName, slowBusMs, republishAfterMs, stats, warn } = options;
  const rounds = new Set<Promise<void>>();
  let stopped = false;
  /** The bus was slow or away lately: the disk is asked at once, and the bus may still be faster. */
  let busIsSlow = false;
  let ticking: NodeJS.Timeout | undefined;

  /** Whether a stream has it now. Never throws. */
  async function send(entry: PendingEntry, payload: string): Promise<boolean> {
    const { tenant, event, id } = entry.spooled;
    const isFirst = entry.publishedAtMs === 0;
    const startedAtMs = performance.now();
    entry.publishedAtMs = startedAtMs;
    try {
      const ack = await bus.publishRecord(subjects.audit(tenant, producerName, event), payload, id);
      if (ack === 'duplicate' && isFirst && entry.spooled.boot === spool.boot) {
        // The stream dropped ours for another message under its id; only the disk has it.
        stats.duplicates++;
        warn({ tenant, id }, 'recorder: the id of a new record was in the stream already');
        return false;
      }
      entry.acked = true;
      busIsSlow = performance.now() - startedAtMs > slowBusMs;
      return true;
    } catch (error) {
      busIsSlow = true;
      if (error instanceof BusError && error.code === 'PERMISSION_DENIED') {
        warn({ tenant }, 'recorder: this user may not publish records of the tenant');
      }
      return false;
    }
  }

  function publishFirst(entry: PendingEntry, payload: string): Promise<'bus' | 'spool'> {
    const { promise, resolve, reject } = Promise.withResolvers<'bus' | 'spool'>();
    let synced = false;
    const askTheDisk = (): void => {
      if (synced) return;
      synced = true;
      clearTimeout(timer);
      spool.sync().then(() => resolve('spool'), reject);
    };
    const timer = setTimeout(() => {
      busIsSlow = true;
      askTheDisk();
    }, slowBusMs);
    if (busIsSlow || bus.status() !== 'connected') askTheDisk();
    const finish = (acked: boolean): void => {
      clearTimeout(timer);
      if (acked) resolve('bus');
      else askTheDisk();
    };
    send(entry, payload).then(finish, reject);
    return promise;
  }

  /** Publishes everything of a stream again that was not handed to the bus within `sinceMs`. */
  async function republish(stream: PendingStream, sinceMs: number): Promise<void> {
    stream.republishing = true;
    const due = stream.entries.values().filter((entry) => {
      return !entry.acked || entry.publishedAtMs <= performance.now() - sinceMs;
    });
    const waiting = [...due];
    const lane = async (): Promise<void> => {
      for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) {
        if (stopped || bus.status() !== 'connected') return;
        if (entry.spooled.released) continue;
        const payload = await spool.read(entry.spooled);
        if (payload === undefined) {
          if (!entry.spooled.released) warn({ ...placeOf(entry) }, 'recorder: unreadable record');
          continue;
        }
        stats.republished++;
        await send(entry, payload);
      }
    };
    try {
      await Promise.all(Array.from({ length: REPUBLISH_AT_ONCE }, lane));
    } finally {
      stream.republishing = false;
      stream.progressAtMs = performance.now();
    }
  }

  function tick(): void {
    if (stopped || bus.status() !== 'connected') return;
    const now = performance.now();
    for (const stream of pending.streams()) {
      if (stream.republishing || stream.entries.size === 0) continue;
      if (now - stream.progressAtMs < stream.patienceMs) continue;
      const sinceMs = stream.patienceMs;
      stream.patienceMs = Math.min(stream.patienceMs * 2, MAX_PATIENCE_MS);
      const round = republish(stream, sinceMs).finally(() => rounds.delete(round));
      rounds.add(round);
    }
  }

  /** What a stream acknowledged before may be gone with its server: everything counts as unsent. */
  const stopListening = bus.onStatus((status) => {
    if (status !== 'connected') return;
    for (const stream of pending.streams()) {
      for (const entry of stream.entries.values()) entry.acked = false;
      stream.progressAtMs = Number.NEGATIVE_INFINITY;
      stream.patienceMs = republishAfterMs;
    }
    tick();
  });

  return {
    publishFirst,
    start() {
      ticking = setInterval(tick, Math.max(10, Math.min(500, republishAfterMs / 4)));
      ticking.unref();
      tick();
    },
    async stop() {
      stopped = true;
      clearInterval(ticking);
      stopListening();
      await Promise.allSettled(rounds);
    },
  };
}

function placeOf({ spooled }: PendingEntry): Record<string, unknown> {
  const { boot, tenant, n } = spooled;
  return { boot, tenant, n };
}
