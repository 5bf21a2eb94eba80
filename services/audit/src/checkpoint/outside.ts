import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tenantId } from '@remit/contracts';
import { peekCheckpoint } from '@remit/ledger';
import { AuditError } from '../error.ts';

/** Checkpoints kept outside the database, where its administrator has no say. */
export type OutsideStore = {
  /** Every note of a tenant, oldest first. Signatures are not checked. */
  read(tenant: string): Promise<string[]>;
  /** The newest note of a tenant. */
  newest(tenant: string): Promise<string | undefined>;
  /**
   * Adds a note and resolves when it is synced. Throws AuditError `CHECKPOINT_BEHIND` when it is not
   * larger than the newest one: nothing here goes back.
   */
  append(tenant: string, note: string, atMs: number): Promise<void>;
};

type Line = { at: string; note: string };

const NEWLINE = 0x0a;
/** More than the largest line: a note is at most some kilobytes, also with ML-DSA signatures. */
const TAIL_BYTES = 65_536;

/**
 * One file per tenant in a folder, one JSON line per checkpoint, only ever appended to. What a crash
 * left of a line was never acknowledged and is cut off by the next append.
 */
export async function openOutsideStore(dir: string): Promise<OutsideStore> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const fileOf = (tenant: string): string => join(dir, `${tenantId(tenant)}.checkpoints`);

  async function newest(tenant: string): Promise<string | undefined> {
    const file = await openIfThere(fileOf(tenant));
    if (file === undefined) return undefined;
    try {
      const { lines } = await readTail(file);
      return lines.at(-1);
    } finally {
      await file.close();
    }
  }

  return {
    newest,
    async read(tenant) {
      const file = await openIfThere(fileOf(tenant));
      if (file === undefined) return [];
      await file.close();
      const bytes = await readFile(fileOf(tenant));
      return notesOf(bytes.subarray(0, bytes.lastIndexOf(NEWLINE) + 1));
    },
    async append(tenant, note, atMs) {
      const file = await open(fileOf(tenant), constants.O_RDWR | constants.O_CREAT, 0o600);
      try {
        const { lines, end } = await readTail(file);
        const last = lines.at(-1);
        const { size } = peekCheckpoint(note);
        if (last !== undefined && peekCheckpoint(last).size >= size) {
          throw new AuditError('CHECKPOINT_BEHIND', 'a newer checkpoint is kept outside', {
            tenant,
            size,
            outside: peekCheckpoint(last).size,
          });
        }
        const line: Line = { at: new Date(atMs).toISOString(), note };
        await file.truncate(end);
        await file.write(Buffer.from(`${JSON.stringify(line)}\n`), 0, undefined, end);
        await file.datasync();
      } finally {
        await file.close();
      }
      await syncFolder(dir);
    },
  };
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The last whole lines of a file and where they end. */
async function readTail(file: FileHandle): Promise<{ lines: string[]; end: number }> {
  const { size } = await file.stat();
  const from = Math.max(0, size - TAIL_BYTES);
  const buffer = Buffer.alloc(size - from);
  await file.read(buffer, 0, buffer.length, from);
  const end = buffer.lastIndexOf(NEWLINE) + 1;
  if (end === 0 && size > TAIL_BYTES) {
    throw new AuditError('CHECKPOINT_FILE_INVALID', 'a checkpoint file has no line at its end');
  }
  const begin = from === 0 ? 0 : buffer.indexOf(NEWLINE) + 1;
  return { lines: notesOf(buffer.subarray(begin, end)), end: from + end };
}

/** A line that is none is given as it is: whoever checks the note says so. */
function notesOf(bytes: Buffer): string[] {
  const lines = bytes.toString('utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
    try {
      const { note } = JSON.parse(line) as Partial<Line>;
      return typeof note === 'string' ? note : line;
    } catch {
      return line;
    }
  });
}

async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
