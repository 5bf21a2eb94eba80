import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Checkpoint, parseCheckpoint } from '@remit/ledger';

/** What a witness remembers: of each log the last checkpoint that it cosigned. */
export type WitnessState = {
  /** Runs alone among everything about this log, so that between reading and keeping nobody writes. */
  exclusively<T>(origin: string, work: () => Promise<T>): Promise<T>;
  read(origin: string): Promise<Checkpoint | undefined>;
  /** Resolves when the checkpoint is on the disk: before that nobody is told. */
  keep(origin: string, text: string): Promise<void>;
};

/**
 * Keeps each log's last checkpoint in a file of its own below `dir`. A file is replaced as a whole, so
 * a crash leaves the one before or the one after. One process per folder.
 */
export async function openWitnessState(dir: string): Promise<WitnessState> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const queues = new Map<string, Promise<unknown>>();
  const fileOf = (origin: string): string =>
    join(dir, `${createHash('sha256').update(origin).digest('hex')}.checkpoint`);

  return {
    exclusively(origin, work) {
      const before = queues.get(origin) ?? Promise.resolve();
      const mine = before.then(work);
      // Logs are few, named by the operator: their queues are kept.
      queues.set(
        origin,
        mine.catch(() => undefined),
      );
      return mine;
    },
    async read(origin) {
      try {
        return parseCheckpoint(await readFile(fileOf(origin), 'utf8'));
      } catch (error) {
        if ((error as { code?: string }).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async keep(origin, text) {
      const file = fileOf(origin);
      await writeSynced(`${file}.next`, text);
      await rename(`${file}.next`, file);
      const folder = await open(dir, 'r');
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    },
  };
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
