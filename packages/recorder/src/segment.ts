import {
  closeSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  read,
  readdirSync,
  readFileSync,
  rmSync,
  write,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type FoundFrame, readFrames } from './frame.ts';

const NAME = /^([0-9a-f]{32})-([0-9]{6})\.spool$/;
const writeAt = promisify(write);
const readAt = promisify(read);
const sync = promisify(fdatasync);
/**
 * So much goes into the page cache faster than another thread wakes up for it, and a record stands in
 * front of every call.
 */
const AT_ONCE_BYTES = 65_536;

/** One append-only file of a spool. */
export type Segment = {
  readonly boot: string;
  readonly file: string;
  readonly fd: number;
  /** Bytes written. */
  size: number;
  /** Bytes of entries that no mark has passed yet. */
  live: number;
  /** Nothing is appended any more. */
  sealed: boolean;
  /** Bytes were written since the last sync. */
  dirty: boolean;
  /** A failed write could not be cut off again, so nothing may follow it. */
  torn: boolean;
  /** Reads, writes and syncs at work; the file is closed after the last one. */
  users: number;
  /** Closed, or about to be. */
  closing: boolean;
};

/** Makes the next file of a boot; its name survives a crash together with its first sync. */
export function createSegment(dir: string, boot: string, number: number): Segment {
  const file = join(dir, `${boot}-${String(number).padStart(6, '0')}.spool`);
  const fd = openSync(file, 'wx+', 0o600);
  syncFolder(dir);
  return newSegment({ boot, file, fd, size: 0, sealed: false });
}

function newSegment(of: Pick<Segment, 'boot' | 'file' | 'fd' | 'size' | 'sealed'>): Segment {
  return { ...of, live: 0, dirty: false, torn: false, users: 0, closing: false };
}

/** Appends bytes. When that fails, what was written is cut off again. */
export function appendTo(segment: Segment, bytes: Buffer): Promise<void> {
  return using(segment, async () => {
    segment.dirty = true;
    const { fd, size } = segment;
    try {
      for (let done = 0; done < bytes.length; ) {
        const left = bytes.length - done;
        const at = size + done;
        if (left <= AT_ONCE_BYTES) done += writeSync(fd, bytes, done, left, at);
        else done += (await writeAt(fd, bytes, done, left, at)).bytesWritten;
      }
    } catch (cause) {
      try {
        ftruncateSync(fd, size);
      } catch {
        segment.torn = true;
      }
      throw cause;
    }
    segment.size += bytes.length;
  });
}

export function readFrom(segment: Segment, offset: number, length: number): Promise<Buffer> {
  return using(segment, async () => {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await readAt(segment.fd, bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  });
}

export function syncSegment(segment: Segment): Promise<void> {
  return using(segment, () => {
    segment.dirty = false;
    return sync(segment.fd);
  });
}

export function closeSegment(segment: Segment): void {
  if (segment.closing) return;
  segment.closing = true;
  if (segment.users === 0) closeSync(segment.fd);
}

export function removeSegment(segment: Segment): void {
  rmSync(segment.file, { force: true });
  closeSegment(segment);
}

/** Keeps the file open while `work` runs: a closed descriptor's number may be another file's next. */
async function using<T>(segment: Segment, work: () => Promise<T>): Promise<T> {
  if (segment.closing) throw new Error('the spool file is closed');
  segment.users++;
  try {
    return await work();
  } finally {
    segment.users--;
    if (segment.closing && segment.users === 0) closeSync(segment.fd);
  }
}

/** What earlier starts left, oldest first. A torn tail is cut off the file; an empty file is removed. */
export function readSegments(
  dir: string,
): { segment: Segment; frames: FoundFrame[]; corrupt: number }[] {
  const found = [];
  for (const name of readdirSync(dir).toSorted()) {
    const match = NAME.exec(name);
    if (match === null) continue;
    const file = join(dir, name);
    const bytes = readFileSync(file);
    const { frames, goodBytes, corrupt } = readFrames(bytes);
    const fd = openSync(file, 'r+');
    if (goodBytes < bytes.length) ftruncateSync(fd, goodBytes);
    const boot = match[1] as string;
    const segment = newSegment({ boot, file, fd, size: goodBytes, sealed: true });
    if (frames.length === 0) removeSegment(segment);
    else found.push({ segment, frames, corrupt });
  }
  return found;
}

function syncFolder(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
