import { startFleet } from '../fleet/fleet.ts';
import type { Bench } from '../harness.ts';

const HOW = 'in two processes on this machine, each with its own connection, feed and view';

/** `perRound` × 4 samples: a p999 of fewer than 1,000 is their maximum. */
function revocation(peps: number, perRound: number): Bench {
  return {
    // Padded, so that a name is part of no other.
    name: `revoke-${String(peps).padStart(4, '0')}`,
    says: `from the acknowledgement of a revocation until the last of ${peps} PEPs refuses, ${HOW}`,
    baselineSays: 'one bare NATS message to the same connections until the last subscriber has it',
    targetRatio: 3,
    perRound,
    selfTimed: true,
    async setup() {
      const fleet = await startFleet(peps);
      return {
        subject: () => fleet.revoke('acknowledged'),
        baseline: fleet.bare,
        close: fleet.close,
      };
    },
  };
}

const asked: Bench = {
  name: 'revoke-asked-0050',
  says: `from the request to revoke until the last of 50 PEPs refuses, ${HOW}`,
  baselineSays: 'one bare NATS message to the same connections until the last subscriber has it',
  perRound: 250,
  selfTimed: true,
  async setup() {
    const fleet = await startFleet(50);
    return { subject: () => fleet.revoke('asked'), baseline: fleet.bare, close: fleet.close };
  },
};

const STORM = 1_000;
const storm: Bench = {
  name: `reconnect-storm-${STORM}`,
  says: `${STORM} PEPs that were cut off until all were stale, from the heal until each allows again`,
  baselineSays: 'the same storm, until each is only connected again',
  perRound: 1,
  rounds: 2,
  selfTimed: true,
  async setup() {
    const fleet = await startFleet(STORM, true);
    return {
      prepare: () => fleet.cut(),
      subject: () => fleet.heal('fresh'),
      baseline: () => fleet.heal('connected'),
      close: fleet.close,
    };
  },
};

const OFFLINE_MS = 60_000;
const MISSED = 1_000;
const offline: Bench = {
  name: 'catch-up-60-s-offline',
  says: `50 PEPs that were cut off for 60 s and missed ${MISSED} revocations, from the heal until each allows again`,
  baselineSays: 'the same, until each is only connected again',
  perRound: 1,
  rounds: 1,
  selfTimed: true,
  async setup() {
    const fleet = await startFleet(50, true);
    const meanwhile = async (): Promise<void> => {
      const until = performance.now() + OFFLINE_MS;
      await fleet.miss(MISSED);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, until - performance.now())));
    };
    return {
      prepare: () => fleet.cut(meanwhile),
      subject: () => fleet.heal('fresh'),
      baseline: () => fleet.heal('connected'),
      close: fleet.close,
    };
  },
};

export const revocations: readonly Bench[] = [
  revocation(1, 250),
  revocation(10, 250),
  revocation(50, 250),
  revocation(200, 60),
  revocation(1_000, 25),
  asked,
  storm,
  offline,
];
