import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { listenForStop } from '@remit/stack';
import { campaign } from './campaign.ts';
import { createRandom, type Random } from './random.ts';
import { anyStep, type Step, shortSchedule } from './schedule.ts';
import { openWorld } from './world.ts';

const USAGE = `npm run faults -- [--seed N] [--schedule short|long] [--minutes M] [--dir DIR]

Breaks a whole deployment while agents work, and judges what was seen by docs/guarantees.md.
short: each kind of fault once. long: by chance, for M minutes (default 30).
The same seed makes the same schedule. Histories stay in DIR; what was broken is in schedule.json.
`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    schedule: { type: 'string' },
    minutes: { type: 'string' },
    dir: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const schedule = values.schedule ?? (values.minutes === undefined ? 'short' : 'long');
const seed = Number(values.seed);
const minutes = Number(values.minutes ?? 30);
if (
  values.help ||
  !['short', 'long'].includes(schedule) ||
  !Number.isSafeInteger(seed) ||
  !(minutes > 0)
) {
  process.stderr.write(USAGE);
  process.exit(values.help ? 0 : 2);
}

/** Steps by chance until the time is over or somebody stops the run. */
function* steps(random: Random, made: Step[], stopped: () => boolean): Generator<Step> {
  const until = performance.now() + minutes * 60_000;
  const short = schedule === 'short' ? shortSchedule(random) : undefined;
  for (let at = 0; !stopped(); at++) {
    const step = short ? short[at] : performance.now() < until ? anyStep(random) : undefined;
    if (!step) return;
    made.push(step);
    yield step;
  }
}

const dir = values.dir ?? mkdtempSync(join(tmpdir(), 'remit-faults-'));
const stop = listenForStop();
const say = (line: string) => void process.stdout.write(`${line}\n`);
const startedAt = performance.now();
say(`seed ${seed}, ${schedule}; histories in ${dir}`);
const made: Step[] = [];
try {
  await using world = await openWorld({ dir, onProgress: say });
  // What is broken has draws of its own, so that it does not depend on how the work goes.
  const plan = steps(createRandom(seed), made, () => stop.asked !== undefined);
  const result = await campaign(world, createRandom(seed + 1), plan, say);
  const { violations, counts, recoveries } = result;
  say(
    `\n${made.length} steps in ${Math.round((performance.now() - startedAt) / 1_000)} s; ${JSON.stringify(counts)}`,
  );
  const slowest = recoveries
    .toSorted((a, b) => (b.ms ?? Infinity) - (a.ms ?? Infinity))
    .slice(0, 5);
  for (const { ms, says } of slowest)
    say(`recovered after ${ms ? Math.round(ms) : '?'} ms: ${says}`);
  for (const { invariant, says } of violations) say(`VIOLATION ${invariant}: ${says}`);
  say(violations.length === 0 ? 'every invariant held' : `replay with --seed ${seed}`);
  process.exitCode = violations.length === 0 ? 0 : 1;
} finally {
  writeFileSync(join(dir, 'schedule.json'), `${JSON.stringify({ seed, steps: made }, null, 2)}\n`);
  stop.dispose();
}
