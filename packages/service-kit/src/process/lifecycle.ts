import type { Logger } from './log.ts';

/** In this order things end: each phase is over before the next begins. */
const PHASES = ['consumers', 'http', 'recorder', 'bus', 'database'] as const;
export type Phase = (typeof PHASES)[number];

export type Lifecycle = {
  /** Registers what has to end in a phase. Within a phase, the last registered ends first. */
  onStop: (phase: Phase, name: string, stop: () => Promise<void> | void) => void;
  /** Runs before everything else: readiness goes away here. */
  onStopping: (fn: () => void) => void;
  readonly stopping: boolean;
  /** Ends everything in order; called twice, it is the same stop. Never throws. */
  stop: () => Promise<void>;
};

/**
 * The order of an orderly end: no longer ready, consumers stop, HTTP closes after its requests in
 * flight, records are flushed, the bus drains, the database closes. What fails or takes longer than
 * `phaseTimeoutMs` (default 2500) is logged and does not hold up the rest.
 */
export function createLifecycle(options: { log: Logger; phaseTimeoutMs?: number }): Lifecycle {
  const { log, phaseTimeoutMs = 2_500 } = options;
  const entries: { phase: Phase; name: string; stop: () => Promise<void> | void }[] = [];
  const before: (() => void)[] = [];
  let ending: Promise<void> | undefined;

  async function run(): Promise<void> {
    for (const fn of before) fn();
    for (const phase of PHASES) {
      for (const entry of entries.filter((e) => e.phase === phase).toReversed()) {
        try {
          await within(Promise.resolve(entry.stop()), phaseTimeoutMs);
        } catch (error) {
          log.warn({ err: error, phase, part: entry.name }, 'a part did not stop in order');
        }
      }
    }
  }

  return {
    onStop: (phase, name, stop) => void entries.push({ phase, name, stop }),
    onStopping: (fn) => void before.push(fn),
    get stopping() {
      return ending !== undefined;
    },
    stop: () => {
      ending ??= run();
      return ending;
    },
  };
}

/** Rejects when `work` takes longer than `ms`. The work itself goes on. */
export async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
