import { randomBytes, randomUUIDv7 } from 'node:crypto';
import type { Bus, Verifier } from '@remit/bus';
import { auditMark, auditRecord, matches, subjects } from '@remit/contracts';
import { draftRecord, encodeDraft } from './draft.ts';
import { RecorderError } from './error.ts';
import { readMark } from './marks.ts';
import { createPending, type PendingEntry } from './pending.ts';
import { createPublisher } from './publisher.ts';
import type { RecordInput } from './record-input.ts';
import { openSpool } from './spool.ts';
import { createStrangerCounts, type Stranger } from './stranger-counts.ts';
import { wallClock } from './wall-clock.ts';

/** `bus`: written and acknowledged. `spool`: synced to the disk. `ledger`: committed (strict). */
export type Home = 'bus' | 'spool' | 'ledger';

export type RecorderLimits = {
  /** Bytes of records that may wait for their commit marks. Default 64 MiB. */
  maxSpoolBytes?: number;
  /** Share of them that only verified callers may use, 0 to 1. Default 0.5. */
  verifiedShare?: number;
  /** Bytes of one spool file. Default 4 MiB, at most a quarter of `maxSpoolBytes`. */
  segmentBytes?: number;
  /** Milliseconds after which the disk stands in for the bus. Default 250. */
  slowBusMs?: number;
  /** Milliseconds without a mark after which records are published again; doubles to 60 s. Default 5000. */
  republishAfterMs?: number;
  /** Milliseconds over which strangers' junk is counted together. Default 1000. */
  strangerWindowMs?: number;
  /** Milliseconds that a strict recorder waits for a mark. Default 5000. */
  strictTimeoutMs?: number;
};

export type RecorderOptions = {
  bus: Pick<Bus, 'user' | 'publishRecord' | 'subscribe' | 'status' | 'onStatus'>;
  /** `service` is the NATS user of `bus`: audit refuses records under another name. */
  producer: { service: string; instance: string; version: string };
  /** A folder of this process alone; made when missing. */
  spoolDir: string;
  /** The pinned keys of the audit service's commit marks. */
  markVerifier: Verifier;
  /** Epoch milliseconds, fractions allowed. */
  clock?: { now(): number };
  /** 16 fresh random bytes as base64url. Replaced only in tests. */
  randomSalt?: () => string;
  /** A record is kept only when it is in the ledger. Default false. */
  strict?: boolean;
  limits?: RecorderLimits;
  log?: { warn(fields: Record<string, unknown>, message: string): void };
};

export type RecorderStats = {
  readonly boot: string;
  /** Records that no mark has passed. */
  pending: number;
  liveBytes: number;
  diskBytes: number;
  broken: boolean;
  recorded: number;
  refused: number;
  marked: number;
  republished: number;
  /** Marks that did not verify or are not for this producer. */
  marksRefused: number;
  /** Ids that were in the stream before their first publication: somebody else used them. */
  duplicates: number;
  /** Texts from which a secret was taken. */
  scrubbed: number;
  /** Strangers' junk that found no room and is not in any record. */
  strangersLost: number;
  /** Damaged lines in spools of earlier starts. */
  corrupt: number;
};

export type Recorder = {
  /**
   * Keeps one record and says where. Numbers it without gaps per boot and tenant, writes it to the
   * spool and publishes it; resolves when a stream has acknowledged it, or, while the bus is away or
   * slower than `slowBusMs`, when it is synced to the disk. It leaves the spool when a commit mark has
   * passed it. Until this resolves nothing that it stands for may happen.
   * Throws RecorderError `AUDIT_UNAVAILABLE` (spool full or broken, strict: no mark in time),
   * `RECORD_INVALID` or `CLOSED`.
   */
  record(tenant: string, input: RecordInput): Promise<{ id: string; home: Home }>;
  /** Counts what didn't verify: one record per source, reason and window, with its count. */
  countStranger(tenant: string, stranger: Stranger & { event?: RecordInput['event'] }): void;
  stats(): RecorderStats;
  /** Records what was counted, syncs, and lets go. What no mark has passed stays for the next start. */
  close(): Promise<void>;
};

const LIMITS: Required<RecorderLimits> = {
  maxSpoolBytes: 64 * 1_048_576,
  verifiedShare: 0.5,
  segmentBytes: 4 * 1_048_576,
  slowBusMs: 250,
  republishAfterMs: 5_000,
  strangerWindowMs: 1_000,
  strictTimeoutMs: 5_000,
};

/**
 * Opens a recorder over a bus and a spool folder, and publishes again what earlier starts left there
 * until it is marked. Throws RecorderError `OPTION_INVALID`, `SPOOL_UNUSABLE` or `SPOOL_IN_USE`.
 */
export function createRecorder(options: RecorderOptions): Recorder {
  const { bus, markVerifier, strict = false } = options;
  const limits = { ...LIMITS, ...options.limits };
  const clock = options.clock ?? wallClock();
  const newSalt = options.randomSalt ?? (() => randomBytes(16).toString('base64url'));
  const warn = options.log?.warn.bind(options.log) ?? (() => {});
  const name = bus.user;
  if (options.producer.service !== name) {
    throw new RecorderError('OPTION_INVALID', 'producer.service is not the user of the bus', {
      details: { service: options.producer.service, user: name },
    });
  }
  if (!(limits.verifiedShare >= 0 && limits.verifiedShare <= 1)) {
    throw new RecorderError('OPTION_INVALID', 'verifiedShare is not between 0 and 1');
  }
  // Compiles the schemas now instead of in front of the first call.
  matches(auditRecord, undefined);
  matches(auditMark, undefined);
  const boot = randomBytes(16).toString('hex');
  const producer = { ...options.producer, boot };
  const spool = openSpool({
    dir: options.spoolDir,
    boot,
    maxBytes: limits.maxSpoolBytes,
    verifiedShare: limits.verifiedShare,
    segmentBytes: Math.min(limits.segmentBytes, limits.maxSpoolBytes / 4),
  });
  const stats = {
    recorded: 0,
    refused: 0,
    marked: 0,
    republished: 0,
    marksRefused: 0,
    duplicates: 0,
    scrubbed: 0,
    strangersLost: 0,
  };
  const pending = createPending(limits.republishAfterMs);
  const publisher = createPublisher({
    bus,
    spool,
    pending,
    producerName: name,
    slowBusMs: limits.slowBusMs,
    republishAfterMs: limits.republishAfterMs,
    stats,
    warn,
  });
  const followed = new Map<string, { stop(): void }>();
  const inWork = new Set<Promise<unknown>>();
  /** Of the newest mark: by how much this clock leads that of the ledger. */
  let heard = { time: 0, offsetMs: undefined as number | undefined };
  let closed = false;

  function followMarks(tenant: string): void {
    if (followed.has(tenant)) return;
    const listen = (_subject: string, bytes: Uint8Array): void => {
      const mark = readMark(bytes, { verifier: markVerifier, tenant, producer: name });
      if (mark === undefined) {
        stats.marksRefused++;
        warn({ tenant }, 'recorder: a commit mark was refused');
        return;
      }
      // One that is repeated later would say that this clock leads by the time between.
      if (mark.time > heard.time) {
        heard = { time: mark.time, offsetMs: Math.round(clock.now() - mark.time) };
      }
      for (const { boot: marked, n } of mark.marks) {
        if (marked === boot && n > spool.lastNumber(tenant)) {
          // More than was ever written: whoever says so has not read our records.
          stats.marksRefused++;
          continue;
        }
        for (const entry of pending.mark(marked, tenant, n, performance.now())) {
          spool.release(entry.spooled);
          entry.onMarked?.();
          stats.marked++;
        }
      }
    };
    followed.set(tenant, bus.subscribe(subjects.auditMark(tenant, name), listen));
  }

  for (const entry of spool.leftovers) {
    followMarks(entry.tenant);
    pending.add(entry, Number.NEGATIVE_INFINITY);
  }
  publisher.start();

  async function keep(tenant: string, input: RecordInput): Promise<{ id: string; home: Home }> {
    followMarks(tenant);
    const draft = draftRecord(tenant, input, {
      producer,
      nowMs: clock.now(),
      clockOffsetMs: heard.offsetMs,
      newId: randomUUIDv7,
      newSalt,
      onRemoved: () => stats.scrubbed++,
    });
    const { entry: spooled, payload } = await spool.append({
      tenant,
      event: draft.event,
      id: draft.id,
      trust: draft.trust,
      encode: (n) => encodeDraft(draft, n, name),
    });
    const entry = pending.add(spooled, performance.now());
    const marked = strict ? untilMarked(entry) : undefined;
    const home = await publisher.publishFirst(entry, payload);
    if (marked === undefined) return { id: draft.id, home };
    await marked;
    return { id: draft.id, home: 'ledger' };
  }

  function untilMarked(entry: PendingEntry): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new RecorderError('AUDIT_UNAVAILABLE', 'no commit mark in time')),
      limits.strictTimeoutMs,
    );
    entry.onMarked = () => {
      clearTimeout(timer);
      resolve();
    };
    promise.catch(() => {});
    return promise;
  }

  async function record(tenant: string, input: RecordInput): Promise<{ id: string; home: Home }> {
    if (closed) throw new RecorderError('CLOSED', 'the recorder is closed');
    const work = keep(tenant, input);
    inWork.add(work);
    try {
      const kept = await work;
      stats.recorded++;
      return kept;
    } catch (error) {
      stats.refused++;
      throw error;
    } finally {
      inWork.delete(work);
    }
  }

  const strangers = createStrangerCounts({
    windowMs: limits.strangerWindowMs,
    flush(counts) {
      for (const { tenant, event, source, reason, count } of counts) {
        const input: RecordInput = {
          event,
          decision: 'deny',
          reason,
          source,
          count,
          trust: 'stranger',
        };
        record(tenant, input).catch((error: unknown) => {
          stats.strangersLost += count;
          warn({ tenant, reason, count, error: String(error) }, 'recorder: junk is not recorded');
        });
      }
    },
  });

  return {
    record,
    countStranger(tenant, { source, reason, event = 'decision' }) {
      if (closed) throw new RecorderError('CLOSED', 'the recorder is closed');
      strangers.add({ tenant, event, source, reason, count: 1 });
    },
    stats: () => ({
      boot,
      ...stats,
      ...spool.stats(),
      pending: pending.size(),
      corrupt: spool.corrupt,
    }),
    async close() {
      if (closed) return;
      strangers.flush();
      closed = true;
      await Promise.allSettled(inWork);
      await publisher.stop();
      for (const subscription of followed.values()) subscription.stop();
      await spool.close();
    },
  };
}
