import type { Recorder } from '@remit/recorder';
import type { Logger } from '@remit/service-kit';
import { sql } from 'kysely';
import type { RegistryDatabase } from '../store/directory.ts';

const LOOK_MS = 1_000;

/**
 * Records loads. The loader is another process and has no recorder; it leaves a report in the
 * transaction of the load, and this records it: `admin.registry_loaded`, at least once.
 */
export function createLoadReports(options: {
  database: RegistryDatabase;
  recorder: Recorder;
  log: Logger;
}): { start: () => void; stop: () => Promise<void>; look: () => Promise<number> } {
  const { database, recorder, log } = options;
  let timer: NodeJS.Timeout | undefined;
  let current: Promise<unknown> = Promise.resolve();
  let running = false;

  async function look(): Promise<number> {
    return database.withSystem(async (trx) => {
      const rows = await trx
        .selectFrom('load_reports')
        .selectAll()
        .where('recorded_at', 'is', null)
        .orderBy('id')
        .limit(20)
        .forUpdate()
        .skipLocked()
        .execute();
      for (const { tenant, id, revision, summary } of rows) {
        await recorder.record(tenant, {
          event: 'admin.registry_loaded',
          registry_revision: revision,
          detail: JSON.parse(summary) as Record<string, number>,
        });
        await trx
          .updateTable('load_reports')
          .set({ recorded_at: sql<Date>`clock_timestamp()` })
          .where('id', '=', id)
          .execute();
      }
      return rows.length;
    });
  }

  async function next(): Promise<void> {
    try {
      await look();
    } catch (error) {
      log.warn({ err: error }, 'loads are not recorded yet');
    }
    if (running) schedule();
  }

  function schedule(): void {
    timer = setTimeout(() => {
      current = next();
    }, LOOK_MS);
  }

  return {
    look,
    start: () => {
      if (running) return;
      running = true;
      current = next();
    },
    stop: async () => {
      running = false;
      clearTimeout(timer);
      await current;
    },
  };
}
