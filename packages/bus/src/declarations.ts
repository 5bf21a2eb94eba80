import { setTimeout as wait } from 'node:timers/promises';
import { BusError } from './error.ts';
import type { Link } from './link.ts';
import { BUS_TIMES } from './policies.ts';

export type Declarations = {
  /** Declares now, and again after every reconnect. A declaration that fails is not kept. */
  declare(name: string, work: () => Promise<void>): Promise<void>;
  /** Declares everything again, at once: something of it is not there. */
  repeat(): void;
};

/**
 * Remembers what this connection declared, because a server may come back without its store: then
 * nobody else would make streams and consumers again until a service is restarted. Repeats in the order
 * of the first declarations until all have succeeded or the connection is gone again. A mismatch
 * is logged and left: who changed it meant to.
 */
export function createDeclarations(link: Link): Declarations {
  const kept = new Map<string, () => Promise<void>>();
  let round = 0;

  async function again(): Promise<void> {
    const mine = ++round;
    const gone = (): boolean => mine !== round || link.status() !== 'connected';
    const waiting = new Map(kept);
    while (waiting.size > 0 && !gone()) {
      for (const [name, work] of waiting) {
        try {
          await work();
          waiting.delete(name);
        } catch (cause) {
          if (gone()) return;
          link.log.warn({ name, error: String(cause) }, 'bus: a declaration is tried again');
          if (cause instanceof BusError && cause.code !== 'STREAM_UNAVAILABLE')
            waiting.delete(name);
        }
      }
      if (waiting.size > 0) await wait(BUS_TIMES.consumeBackoffMs, undefined, { ref: false });
    }
  }

  function repeat(): void {
    if (link.status() === 'connected' && kept.size > 0) void again();
  }

  link.onStatus(repeat);
  return {
    repeat,
    async declare(name, work) {
      await work();
      kept.set(name, work);
    },
  };
}
