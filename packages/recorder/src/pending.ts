import type { SpoolEntry } from './spool.ts';

/** The records of one boot and tenant that no mark has passed, in the order of their numbers. */
export type PendingStream = {
  readonly boot: string;
  readonly tenant: string;
  readonly entries: Map<number, PendingEntry>;
  /** When it was last known that the other side keeps up; milliseconds of a monotonic clock. */
  progressAtMs: number;
  /** How long no mark may come before everything is published again. */
  patienceMs: number;
  republishing: boolean;
};

export type PendingEntry = {
  readonly spooled: SpoolEntry;
  /** When it was last handed to the bus; 0 when never. */
  publishedAtMs: number;
  /** A stream acknowledged it. */
  acked: boolean;
  /** Called when a mark has passed it. */
  onMarked?: () => void;
};

export type Pending = {
  add(spooled: SpoolEntry, nowMs: number): PendingEntry;
  /** Takes out everything up to `n`; returns what that was. */
  mark(boot: string, tenant: string, n: number, nowMs: number): PendingEntry[];
  streams(): Iterable<PendingStream>;
  size(): number;
};

/** Keeps account of what waits for a mark. */
export function createPending(patienceMs: number): Pending {
  const streams = new Map<string, PendingStream>();
  let size = 0;

  return {
    add(spooled, nowMs) {
      const key = `${spooled.boot} ${spooled.tenant}`;
      let stream = streams.get(key);
      if (stream === undefined) {
        stream = {
          boot: spooled.boot,
          tenant: spooled.tenant,
          entries: new Map(),
          progressAtMs: nowMs,
          patienceMs,
          republishing: false,
        };
        streams.set(key, stream);
      }
      if (stream.entries.size === 0) stream.progressAtMs = nowMs;
      const entry: PendingEntry = { spooled, publishedAtMs: 0, acked: false };
      stream.entries.set(spooled.n, entry);
      size++;
      return entry;
    },
    mark(boot, tenant, n, nowMs) {
      const stream = streams.get(`${boot} ${tenant}`);
      if (stream === undefined) return [];
      const passed: PendingEntry[] = [];
      for (const [number, entry] of stream.entries) {
        if (number > n) break;
        stream.entries.delete(number);
        passed.push(entry);
      }
      size -= passed.length;
      if (passed.length > 0) {
        stream.progressAtMs = nowMs;
        stream.patienceMs = patienceMs;
      }
      if (stream.entries.size === 0) streams.delete(`${boot} ${tenant}`);
      return passed;
    },
    streams: () => streams.values(),
    size: () => size,
  };
}
