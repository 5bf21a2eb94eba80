import { randomBytes } from 'node:crypto';
import type { Bus, Signer } from '@remit/bus';
import { SIGNED, type SourceBeat, subjects } from '@remit/contracts';
import { type Clock, type Logger, within } from '@remit/service-kit';

/** Milliseconds between beats. */
const BEAT_MS = 250;

/**
 * Says every 250 ms, signed, how far the registry's feed is: the newest committed entry, read from
 * the database for each beat. Without the database there is no beat, and whoever rests on the feed
 * becomes stale, which denies.
 */
export function createBeats(options: {
  bus: Pick<Bus, 'publish' | 'status'>;
  signer: Signer;
  clock: Clock;
  log: Logger;
  head: () => Promise<number>;
}): { start: () => void; stop: () => Promise<void>; sent: () => number } {
  const { bus, signer, clock, log, head } = options;
  const boot = randomBytes(16).toString('base64url');
  let n = 0;
  let silent = false;
  let timer: NodeJS.Timeout | undefined;
  let current: Promise<void> = Promise.resolve();
  let running = false;

  async function beat(): Promise<void> {
    try {
      const committed = await within(head(), BEAT_MS * 2);
      if (bus.status() !== 'connected') return;
      const data: SourceBeat = {
        source: 'registry',
        boot,
        n: ++n,
        time: Math.floor(clock.now()),
        head: committed,
      };
      bus.publish(subjects.registryBeat, signer.sign(SIGNED.beat, JSON.stringify(data)));
      if (silent) log.info('beats go on');
      silent = false;
    } catch (error) {
      if (!silent) log.warn({ err: error }, 'no beat: the head is not known');
      silent = true;
    }
  }

  async function next(): Promise<void> {
    const started = performance.now();
    await beat();
    if (running) schedule(Math.max(0, BEAT_MS - (performance.now() - started)));
  }

  function schedule(ms: number): void {
    timer = setTimeout(() => {
      current = next();
    }, ms);
  }

  return {
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
    sent: () => n,
  };
}
