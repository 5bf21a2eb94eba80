import type { AuditEvent } from '@remit/contracts';

/** What didn't verify: where it came from and why it was refused. */
export type Stranger = { source: string; reason: string };

export type StrangerCount = Stranger & { tenant: string; event: AuditEvent; count: number };

/** Stands for every further source when too many came within one window. */
const MANY_SOURCES = 'many';

const MAX_SOURCES = 64;

/**
 * Counts what strangers send, per tenant, source and reason, and hands the counts over once per
 * window, so that they can't fill a spool with records. At most 64 sources are told apart in one
 * window; the others are counted together.
 */
export function createStrangerCounts(options: {
  windowMs: number;
  flush: (counts: StrangerCount[]) => void;
}): { add(count: StrangerCount): void; flush(): void; stop(): void } {
  let counts = new Map<string, StrangerCount>();
  let timer: NodeJS.Timeout | undefined;

  function keyOf(count: StrangerCount): string {
    return JSON.stringify([count.tenant, count.event, count.reason, count.source]);
  }

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (counts.size === 0) return;
    const full = [...counts.values()];
    counts = new Map();
    options.flush(full);
  }

  return {
    add(count) {
      let entry = { ...count };
      let known = counts.get(keyOf(entry));
      if (known === undefined && counts.size >= MAX_SOURCES) {
        entry = { ...entry, source: MANY_SOURCES };
        known = counts.get(keyOf(entry));
      }
      if (known !== undefined) known.count += entry.count;
      else counts.set(keyOf(entry), entry);
      if (timer === undefined) {
        timer = setTimeout(flush, options.windowMs);
        timer.unref();
      }
    },
    flush,
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
