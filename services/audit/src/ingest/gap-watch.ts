import type { Database, Logger, Metrics } from '@remit/service-kit';
import { type NumberGap, numberGaps } from '../store/numbers.ts';
import type { AuditTables } from '../store/tables.ts';

export type GapWatch = {
  /** Looks once. */
  look(): Promise<readonly NumberGap[]>;
  start(): void;
  stop(): void;
};

/** Milliseconds between looks. */
const LOOK_MS = 1_000;

/**
 * The alarm "logging failed": a producer numbers its records without gaps, so a number that is still
 * missing after `gapSeconds` is a record that was made and never came. Each gap is logged once.
 */
export function createGapWatch(options: {
  database: Database<AuditTables>;
  log: Logger;
  metrics: Metrics;
  gapSeconds: number;
}): GapWatch {
  const { database, log, metrics, gapSeconds } = options;
  let known = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<unknown> | undefined;
  metrics.gauge(
    'remit_audit_number_gaps',
    'Ranges of numbers that producers gave to records which never came.',
    () => known.size,
  );

  async function look(): Promise<readonly NumberGap[]> {
    const gaps = await database.withSystem((trx) => numberGaps(trx, gapSeconds), {
      readOnly: true,
    });
    for (const gap of gaps) {
      if (known.has(keyOf(gap))) continue;
      log.error({ alarm: 'gap', ...gap }, 'logging failed: numbered records never came');
    }
    known = new Set(gaps.map(keyOf));
    return gaps;
  }

  return {
    look,
    start() {
      timer = setInterval(() => {
        looking ??= look()
          .catch((error: unknown) => log.warn({ err: error }, 'gaps could not be looked for'))
          .finally(() => {
            looking = undefined;
          });
      }, LOOK_MS);
    },
    stop: () => clearInterval(timer),
  };
}

function keyOf({ tenant, producer, boot, from, to }: NumberGap): string {
  return [tenant, producer, boot, from, to].join(' ');
}
