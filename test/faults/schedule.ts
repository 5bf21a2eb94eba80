import type { Fault } from './nemesis.ts';
import type { Random } from './random.ts';
import { EVERYBODY, PROCESSES, TOOLS } from './world.ts';

/** What is broken at the same time. The next step waits until all of it is healed and seen to be. */
export type Step = readonly Fault[];

const FIRST = PROCESSES.filter((name) => !name.endsWith('-2'));
const SECOND = PROCESSES.filter((name) => name.endsWith('-2'));
const REVOCATION = ['revocation', 'revocation-2'];

/** Each kind of fault once, on targets that the seed chooses where any will do. */
export function shortSchedule(random: Random): Step[] {
  const [one, two, three] = shuffled(random, TOOLS) as [string, string, string];
  return [
    [{ do: 'kill', targets: random.chance(0.5) ? FIRST : SECOND, forMs: 500 }],
    [
      { do: 'part', targets: [one], from: 'nats', how: 'cut', forMs: 4_200 },
      { do: 'part', targets: [two], from: 'nats', how: random.pick(['both', 'in']), forMs: 4_200 },
      { do: 'stop', targets: [three], forMs: 4_200 },
    ],
    [
      {
        do: 'kill-at',
        target: random.pick(REVOCATION),
        says: 'consumption',
        moment: 'after-commit',
      },
      {
        do: 'clock',
        targets: [...TOOLS, 'audit'],
        offsetMs: random.pick([-3_600_000, 300_000]),
        forMs: 1_500,
      },
    ],
    [
      { do: 'kill', targets: ['nats'], forMs: 300 },
      { do: 'kill', targets: [one], forMs: 300 },
    ],
    [{ do: 'kill', targets: ['postgres'], forMs: 300 }],
    [
      { do: 'stop', targets: REVOCATION.slice(0, 1), forMs: 1_500 },
      { do: 'slow', targets: [two], from: 'nats', delayMs: 200, forMs: 1_500 },
      { do: 'part', targets: [three], from: 'nats', how: 'out', forMs: 1_500 },
    ],
    [{ do: 'wipe-jetstream' }],
    [{ do: 'flap', targets: EVERYBODY, from: 'nats', times: 3 }],
    [{ do: 'put-back-store' }],
  ];
}

/** The next step of a run without end, by chance alone. */
export function anyStep(random: Random): Step {
  const share = random.next();
  if (share < 0.7) return [anyFault(random)];
  if (share < 0.9) return pair(random);
  return [...pair(random), { do: 'flap', targets: TOOLS, from: 'nats', times: 5 }];
}

function pair(random: Random): Step {
  const first = anyFault(random);
  // Two that kill the same thing, or a server below them, would wait for each other.
  for (let tries = 0; tries < 50; tries++) {
    const second = anyFault(random);
    const both = [...targetsOf(first), ...targetsOf(second)];
    if (new Set(both).size === both.length) return [first, second];
  }
  return [first];
}

const SERVERS = ['nats', 'postgres'];

function targetsOf(fault: Fault): readonly string[] {
  if ('targets' in fault) return fault.targets;
  if ('target' in fault) return [fault.target, ...SERVERS];
  return [...SERVERS, ...REVOCATION];
}

function anyFault(random: Random): Fault {
  const process = () => random.pick(EVERYBODY);
  const forMs = Math.round(random.pick([200, 500, 1_000, 3_500, 6_000, 15_000]));
  const makers: (() => Fault)[] = [
    () => ({ do: 'kill', targets: [process()], forMs }),
    () => ({ do: 'kill', targets: random.pick([FIRST, SECOND, REVOCATION, TOOLS]), forMs }),
    () => ({ do: 'kill', targets: [random.pick(SERVERS)], forMs: Math.min(forMs, 6_000) }),
    () => ({ do: 'stop', targets: [process()], forMs }),
    () => ({ do: 'stop', targets: random.pick([['nats'], ['postgres'], REVOCATION]), forMs }),
    () => ({
      do: 'kill-at',
      target: random.pick(REVOCATION),
      says: random.pick(['consumption', 'revocation', 'registration']),
      moment: random.pick(['before-commit', 'after-commit']),
    }),
    () => ({
      do: 'kill-at',
      target: random.pick(['audit', 'audit-2']),
      says: 'record',
      moment: random.pick(['before-commit', 'after-commit']),
    }),
    () => ({
      do: 'part',
      targets: [random.pick(TOOLS)],
      from: 'nats',
      how: random.pick(['cut', 'both', 'in', 'out']),
      forMs,
    }),
    () => ({
      do: 'part',
      targets: [random.pick(PROCESSES)],
      from: random.pick(['nats', 'postgres']),
      how: random.pick(['cut', 'both', 'in', 'out']),
      forMs,
    }),
    () => ({
      do: 'slow',
      targets: [process()],
      from: 'nats',
      delayMs: Math.round(random.between(50, 400)),
      forMs: 3_000,
    }),
    () => ({
      do: 'clock',
      targets: [process()],
      offsetMs: random.pick([-3_600_000, -300_000, 300_000, 3_600_000]),
      forMs: 3_000,
    }),
    () => ({ do: 'flap', targets: EVERYBODY, from: 'nats', times: 5 }),
    () => ({ do: 'wipe-jetstream' }),
    () => ({ do: 'put-back-store' }),
  ];
  return random.pick(makers)();
}

function shuffled<T>(random: Random, list: readonly T[]): T[] {
  return list
    .map((each) => ({ each, at: random.next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ each }) => each);
}
