import { accessSync, constants, mkdirSync } from 'node:fs';
import { RecorderError } from './error.ts';
import { encodeFrame, type Frame, readPayload } from './frame.ts';
import type { Trust } from './record-input.ts';
import {
  appendTo,
  closeSegment,
  createSegment,
  readFrom,
  readSegments,
  removeSegment,
  type Segment,
  syncSegment,
} from './segment.ts';
import { lockSpool } from './spool-lock.ts';

/** Where one record lies until a mark passes it. */
export type SpoolEntry = {
  readonly boot: string;
  readonly tenant: string;
  readonly n: number;
  readonly event: string;
  readonly id: string;
  segment: Segment;
  offset: number;
  length: number;
  released: boolean;
};

export type SpoolOptions = {
  dir: string;
  /** 32 hex digits, new at every start. */
  boot: string;
  /** Bytes of records that may wait for their marks. */
  maxBytes: number;
  /** Share of them, 0 to 1, that only verified callers may use. */
  verifiedShare: number;
  /** Bytes after which a file is followed by the next. */
  segmentBytes: number;
};

/** A record that waits for its number: `encode` gives the message under that number. */
export type Appendable = {
  readonly tenant: string;
  readonly event: string;
  readonly id: string;
  readonly trust: Trust;
  encode(n: number): string;
};

export type Spool = {
  /** Entries of earlier starts, in order; they wait for marks like one's own. */
  readonly leftovers: readonly SpoolEntry[];
  /** Damaged lines that were met while reading them. */
  readonly corrupt: number;
  readonly boot: string;
  /** Numbers and writes a record; resolves when the write is done, which is not yet a sync. */
  append(record: Appendable): Promise<{ entry: SpoolEntry; payload: string }>;
  /** Resolves when everything appended before the call is on the disk. */
  sync(): Promise<void>;
  /** The message of an entry as it was written; undefined when the disk gives something else. */
  read(entry: SpoolEntry): Promise<string | undefined>;
  /** Forgets an entry; a file without any goes. */
  release(entry: SpoolEntry): void;
  /** The highest number written for a tenant in this boot. */
  lastNumber(tenant: string): number;
  stats(): { liveBytes: number; diskBytes: number; broken: boolean };
  close(): Promise<void>;
};

type Waiting = {
  record: Appendable;
  resolve: (written: { entry: SpoolEntry; payload: string }) => void;
  reject: (error: RecorderError) => void;
};

/**
 * Opens a spool folder (made 0700 when missing) and claims it for this process. Appends are written in
 * groups and synced in groups. A failed write is cut off and refuses its records, so numbers stay
 * gap-free; after a failed sync nothing is taken any more, since the kernel may have dropped the pages.
 * Throws RecorderError `SPOOL_UNUSABLE` or `SPOOL_IN_USE`.
 */
export function openSpool(options: SpoolOptions): Spool {
  const { dir, boot, maxBytes, verifiedShare, segmentBytes } = options;
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    accessSync(dir, constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw new RecorderError('SPOOL_UNUSABLE', `the spool folder ${dir} can't be used`, { cause });
  }
  const lock = lockSpool(dir);
  const numbers = new Map<string, number>();
  const queue: Waiting[] = [];
  const segments = new Set<Segment>();
  const entriesOf = new Map<Segment, Set<SpoolEntry>>();
  const leftovers: SpoolEntry[] = [];
  let corrupt = 0;
  let liveBytes = 0;
  let segmentNumber = 0;
  let active: Segment | undefined;
  let writing: Promise<void> | undefined;
  let isWriting = false;
  let broken = false;

  function place(entry: SpoolEntry): void {
    let held = entriesOf.get(entry.segment);
    if (held === undefined) {
      held = new Set();
      entriesOf.set(entry.segment, held);
    }
    held.add(entry);
    segments.add(entry.segment);
    entry.segment.live += entry.length;
    liveBytes += entry.length;
  }

  function leave(entry: SpoolEntry): void {
    const { segment } = entry;
    entriesOf.get(segment)?.delete(entry);
    segment.live -= entry.length;
    liveBytes -= entry.length;
    if (segment.live === 0 && segment.sealed) drop(segment);
  }

  function drop(segment: Segment): void {
    segments.delete(segment);
    entriesOf.delete(segment);
    removeSegment(segment);
  }

  try {
    // A crash while entries were carried forward leaves them twice.
    const known = new Set<string>();
    for (const { segment, frames, corrupt: damaged } of readSegments(dir)) {
      corrupt += damaged;
      for (const { trust: _trust, ...frame } of frames) {
        const key = `${segment.boot} ${frame.tenant} ${frame.n}`;
        if (known.has(key)) continue;
        known.add(key);
        const entry = { ...frame, boot: segment.boot, segment, released: false };
        place(entry);
        leftovers.push(entry);
      }
      if (segment.live === 0) drop(segment);
    }
    // What was carried forward lies behind what came after it.
    leftovers.sort((a, b) => a.n - b.n);
  } catch (cause) {
    lock.release();
    throw new RecorderError('SPOOL_UNUSABLE', `the spool in ${dir} can't be read`, { cause });
  }

  function segmentToWrite(): Segment {
    const spent = active !== undefined && active.live === 0 && active.size > segmentBytes / 4;
    if (active !== undefined && (spent || active.size >= segmentBytes)) {
      active.sealed = true;
      if (active.live === 0) drop(active);
      active = undefined;
    }
    if (active === undefined) {
      active = createSegment(dir, boot, ++segmentNumber);
      segments.add(active);
    }
    return active;
  }

  function unavailable(message: string, cause?: unknown): RecorderError {
    return new RecorderError('AUDIT_UNAVAILABLE', message, {
      details: { liveBytes, maxBytes },
      cause,
    });
  }

  async function writeGroup(group: Waiting[]): Promise<void> {
    const before = new Map(numbers);
    const frames: Buffer[] = [];
    const written: { waiting: Waiting; entry: SpoolEntry; payload: string }[] = [];
    try {
      const segment = segmentToWrite();
      let size = segment.size;
      for (const waiting of group) {
        const { record } = waiting;
        const n = (numbers.get(record.tenant) ?? 0) + 1;
        const payload = encodeOrReject(waiting, n);
        if (payload === undefined) continue;
        const bytes = encodeFrame({ ...fieldsOf(record), n, payload });
        const allowed = record.trust === 'verified' ? maxBytes : maxBytes * (1 - verifiedShare);
        const held = liveBytes + (size - segment.size);
        if (held + bytes.length > allowed) {
          waiting.reject(unavailable('the spool is full'));
          continue;
        }
        numbers.set(record.tenant, n);
        const entry: SpoolEntry = {
          boot,
          tenant: record.tenant,
          n,
          event: record.event,
          id: record.id,
          segment,
          offset: size,
          length: bytes.length,
          released: false,
        };
        size += bytes.length;
        frames.push(bytes);
        written.push({ waiting, entry, payload });
      }
      if (frames.length === 1) await appendTo(segment, frames[0] as Buffer);
      else if (frames.length > 1) await appendTo(segment, Buffer.concat(frames));
    } catch (cause) {
      if (active?.torn === true) broken = true;
      numbers.clear();
      for (const [tenant, n] of before) numbers.set(tenant, n);
      for (const waiting of group) waiting.reject(unavailable("the spool can't be written", cause));
      return;
    }
    for (const { waiting, entry, payload } of written) {
      place(entry);
      waiting.resolve({ entry, payload });
    }
  }

  /** Moves what is left in nearly empty files to the end, so that a stuck tenant can't pin the disk. */
  async function carryForward(): Promise<void> {
    for (const segment of segments) {
      // The name of a file says whose numbers are in it.
      if (!segment.sealed || segment.boot !== boot || segment.live > segment.size / 4) continue;
      const target = segmentToWrite();
      if (target === segment) continue;
      for (const entry of entriesOf.get(segment) ?? []) {
        const bytes = await readFrom(segment, entry.offset, entry.length);
        const offset = target.size;
        await appendTo(target, bytes);
        if (entry.released) continue;
        // Counted into its new place first, so that the old file outlives the move.
        const old = entry.segment;
        entriesOf.get(old)?.delete(entry);
        old.live -= entry.length;
        liveBytes -= entry.length;
        entry.segment = target;
        entry.offset = offset;
        place(entry);
      }
      await syncSegment(target);
      if (segments.has(segment) && segment.live === 0) drop(segment);
    }
  }

  async function writeAll(): Promise<void> {
    isWriting = true;
    try {
      while (queue.length > 0) {
        const numberBefore = segmentNumber;
        await writeGroup(queue.splice(0));
        if (segmentNumber !== numberBefore && segments.size > 2) {
          await carryForward().catch(() => {
            // The entries are where they were; the next file tries again.
          });
        }
      }
    } finally {
      // In the same step as the last look at the queue: whoever appends from here on starts anew.
      isWriting = false;
    }
  }

  async function syncNow(): Promise<void> {
    const dirty = [...segments].filter((segment) => segment.dirty);
    try {
      await Promise.all(dirty.map(syncSegment));
    } catch (cause) {
      broken = true;
      throw unavailable("the spool can't be synced", cause);
    }
  }

  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  return {
    boot,
    leftovers,
    corrupt,
    append(record) {
      if (broken) return Promise.reject(unavailable('the spool is broken'));
      return new Promise((resolve, reject) => {
        queue.push({ record, resolve, reject });
        if (!isWriting) writing = writeAll();
      });
    },
    sync() {
      if (running === undefined) {
        running = syncNow().finally(() => {
          running = undefined;
        });
        return running;
      }
      // The one that runs may have begun before the caller's bytes were there.
      next ??= running.then(ignore, ignore).then(() => {
        next = undefined;
        running = syncNow().finally(() => {
          running = undefined;
        });
        return running;
      });
      return next;
    },
    async read(entry) {
      try {
        return readPayload(await readFrom(entry.segment, entry.offset, entry.length));
      } catch {
        return undefined;
      }
    },
    release(entry) {
      if (entry.released) return;
      entry.released = true;
      leave(entry);
    },
    lastNumber: (tenant) => numbers.get(tenant) ?? 0,
    stats: () => ({
      liveBytes,
      diskBytes: [...segments].reduce((sum, segment) => sum + segment.size, 0),
      broken,
    }),
    async close() {
      await writing;
      await syncNow().catch(ignore);
      for (const segment of segments) {
        if (segment.live === 0) removeSegment(segment);
        else closeSegment(segment);
      }
      segments.clear();
      lock.release();
    },
  };
}

function encodeOrReject({ record, reject }: Waiting, n: number): string | undefined {
  try {
    return record.encode(n);
  } catch (cause) {
    reject(new RecorderError('RECORD_INVALID', 'the record has no canonical form', { cause }));
    return undefined;
  }
}

function fieldsOf({ tenant, event, id, trust }: Appendable): Omit<Frame, 'n' | 'payload'> {
  return { tenant, event, id, trust };
}

function ignore(): void {}
