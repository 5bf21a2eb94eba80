import type { Bus, Verifier } from '@remit/bus';
import { conform, parseJsonStrict, SIGNED, sourceBeat, subjects } from '@remit/contracts';
import type { Database, Logger } from '@remit/service-kit';
import { readPositions, SOURCES, type Source } from '../store/positions.ts';
import type { Tables } from '../store/tables.ts';
import type { Changes } from './changes.ts';
import type { SourceWatch } from './source-watch.ts';

/** Events that have not come for this long are lost: the stream doesn't have them any more. */
const DEFAULT_LOST_AFTER_MS = 5_000;
const POSITIONS_EVERY_MS = 100;

/**
 * Hears the beats of registry and pdp (signature, type, schema, and that each speaks for itself) and
 * follows how far their events are taken in, by whichever replica.
 */
export function followSources(options: {
  bus: Pick<Bus, 'subscribe'>;
  verifiers: Record<Source, Verifier>;
  watch: SourceWatch;
  database: Database<Tables>;
  changes: Pick<Changes, 'skipLost' | 'goBack'>;
  log: Logger;
  onRefused?: (source: Source) => void;
  lostAfterMs?: number | undefined;
}): { stop: () => Promise<void> } {
  const { bus, verifiers, watch, database, changes, log, onRefused } = options;
  const lostAfterMs = options.lostAfterMs ?? DEFAULT_LOST_AFTER_MS;
  const beatSubjects = { registry: subjects.registryBeat, pdp: subjects.policyBeat };
  const subscriptions = SOURCES.map((source) =>
    bus.subscribe(beatSubjects[source], (_, data) => {
      try {
        const json = Buffer.from(verifiers[source].verify(SIGNED.beat, data)).toString('utf8');
        const beat = conform(sourceBeat, parseJsonStrict(json));
        if (beat.source === source && watch.beat(source, beat)) return;
      } catch {
        // counted below: what doesn't verify is noise
      }
      onRefused?.(source);
    }),
  );

  let running = true;
  let timer: NodeJS.Timeout | undefined;
  async function look(): Promise<void> {
    try {
      const positions = await readPositions(database);
      for (const source of SOURCES) {
        watch.reached(source, positions[source]);
        const lost = watch.lost(source, lostAfterMs);
        if (lost !== undefined) await changes.skipLost(source, lost);
        const head = watch.wentBack(source, lostAfterMs);
        if (head !== undefined) await changes.goBack(source, head);
      }
    } catch (error) {
      log.debug({ err: error }, 'the positions of the sources are not known');
    }
  }
  async function lookAgain(): Promise<void> {
    await look();
    if (running) schedule();
  }
  function schedule(): void {
    timer = setTimeout(() => {
      current = lookAgain();
    }, POSITIONS_EVERY_MS);
  }
  let current = lookAgain();

  return {
    stop: async () => {
      running = false;
      clearTimeout(timer);
      for (const subscription of subscriptions) subscription.stop();
      await current;
    },
  };
}
