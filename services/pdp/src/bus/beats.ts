import { randomUUID } from 'node:crypto';
import type { Bus, Signer } from '@remit/bus';
import { SIGNED, type SourceBeat, subjects } from '@remit/contracts';
import type { Clock, Logger, Metrics } from '@remit/service-kit';

export type Beats = { start: () => void; stop: () => void };

/**
 * Says every `intervalMs` (default 250) how far the policy events go, read from the database each
 * time. While the database does not answer there is no beat: whoever follows must be able to tell
 * "nothing new" from "nobody knows".
 */
export function createBeats(options: {
  bus: Pick<Bus, 'publish' | 'status'>;
  signer: Signer;
  head: () => Promise<number>;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  intervalMs?: number;
}): Beats {
  const { bus, signer, head, clock, log, metrics, intervalMs = 250 } = options;
  const beats = metrics.counter('remit_pdp_beats_total', 'Beats by whether they could be sent.');
  const boot = randomUUID();
  let n = 0;
  let timer: NodeJS.Timeout | undefined;
  let busy = false;

  async function beat(): Promise<void> {
    if (busy || bus.status() !== 'connected') return;
    busy = true;
    try {
      const payload: SourceBeat = {
        source: 'pdp',
        boot,
        n: ++n,
        head: await head(),
        time: Math.floor(clock.now()),
      };
      // Stopped while the database was read: a last beat must not come after the end.
      if (timer === undefined) return;
      bus.publish(subjects.policyBeat, signer.sign(SIGNED.beat, JSON.stringify(payload)));
      beats.add({ outcome: 'sent' });
    } catch (error) {
      beats.add({ outcome: 'skipped' });
      log.debug({ err: error }, 'no beat: the head of the policy events is not known');
    } finally {
      busy = false;
    }
  }

  return {
    start: () => {
      timer ??= setInterval(() => void beat(), intervalMs);
    },
    stop: () => {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
