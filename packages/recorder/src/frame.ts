import { crc32 } from 'node:zlib';
import type { Trust } from './record-input.ts';

/** One entry of a spool: a line of checksum, what is needed to publish it again, and the message. */
export type Frame = {
  readonly tenant: string;
  readonly n: number;
  readonly event: string;
  readonly trust: Trust;
  readonly id: string;
  /** The message: canonical JSON, so there is no line break in it. */
  readonly payload: string;
};

export type FoundFrame = Omit<Frame, 'payload'> & { offset: number; length: number };

const LINE = /^([0-9a-f]{8}) ([a-z0-9-]+) ([1-9][0-9]{0,15}) ([a-z_.]+) ([vs]) ([A-Za-z0-9_-]+) \{/;
/** Room for everything before the message. */
const MAX_HEAD = 256;

/** `<crc32> <tenant> <n> <event> <v|s> <id> <json>`, ended by a line feed. */
export function encodeFrame(frame: Frame): Buffer {
  const trust = frame.trust === 'verified' ? 'v' : 's';
  const body = `${frame.tenant} ${frame.n} ${frame.event} ${trust} ${frame.id} ${frame.payload}`;
  return Buffer.from(`${checksum(Buffer.from(body, 'utf8'))} ${body}\n`, 'utf8');
}

/** The message inside the bytes of one frame, or undefined when they are not what was written. */
export function readPayload(frame: Buffer): string | undefined {
  const found = readLine(frame.subarray(0, -1));
  return found === undefined ? undefined : frame.toString('utf8', found.head, frame.length - 1);
}

/**
 * Reads all frames of a spool file. `goodBytes` ends the last whole frame: what follows was torn by a
 * crash and is cut. `corrupt` counts damaged lines before that, which leave a gap in the numbers.
 */
export function readFrames(file: Buffer): {
  frames: FoundFrame[];
  goodBytes: number;
  corrupt: number;
} {
  const frames: FoundFrame[] = [];
  let goodBytes = 0;
  let corrupt = 0;
  let damaged = 0;
  for (let offset = 0; offset < file.length; ) {
    const end = file.indexOf(0x0a, offset);
    if (end === -1) break;
    const found = readLine(file.subarray(offset, end));
    if (found === undefined) {
      damaged++;
    } else {
      const { head: _head, ...fields } = found;
      frames.push({ ...fields, offset, length: end + 1 - offset });
      goodBytes = end + 1;
      corrupt += damaged;
      damaged = 0;
    }
    offset = end + 1;
  }
  return { frames, goodBytes, corrupt };
}

type Line = Omit<Frame, 'payload'> & { head: number };

function readLine(line: Buffer): Line | undefined {
  const match = LINE.exec(line.toString('latin1', 0, MAX_HEAD));
  if (match === null) return undefined;
  const [head, crc, tenant, n, event, trust, id] = match as unknown as string[];
  if (crc !== checksum(line.subarray(9))) return undefined;
  return {
    tenant: tenant as string,
    n: Number(n),
    event: event as string,
    trust: trust === 'v' ? 'verified' : 'stranger',
    id: id as string,
    head: (head as string).length - 1,
  };
}

function checksum(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}
