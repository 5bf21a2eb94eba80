import { parseArgs } from 'node:util';
import { fuzz } from './run.ts';
import { targets } from './targets.ts';

const USAGE = `npm run fuzz -- [--minutes N] [--target NAME] [--seed S] [--path P] [--runs N]
  --minutes  how long (default: until Ctrl-C)
  --target   only this target, or those whose names begin so; may be given more than once
  --seed     the first seed, a whole number (default: of the clock); printed at the start
  --path     of a printed counterexample: replays that one
  --runs     runs of a target per round (default 300)
`;

function stopWith(message: string): never {
  process.stderr.write(`${message}\n\n${USAGE}`);
  process.exit(2);
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    target: { type: 'string', multiple: true },
    seed: { type: 'string' },
    path: { type: 'string' },
    runs: { type: 'string' },
  },
});

function number(name: 'minutes' | 'seed' | 'runs', otherwise: number): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  const found = Number(text);
  if (text.trim() === '' || !Number.isFinite(found))
    stopWith(`--${name} is a number, not "${text}".`);
  return found;
}

const wanted = values.target ?? [];
const names = new Set(targets.map(({ name }) => name));
const isMeant = (part: string, name: string) =>
  names.has(part) ? name === part : name.startsWith(part);
const chosen = targets.filter(
  ({ name }) => wanted.length === 0 || wanted.some((part) => isMeant(part, name)),
);
if (chosen.length === 0) {
  stopWith(`There is no target ${wanted.join(' ')}. The targets are ${[...names].join(', ')}.`);
}

const seed = number('seed', Date.now() % 2 ** 31);
if (values.path !== undefined && chosen.length !== 1) stopWith('--path needs one --target.');
const endsAt = Date.now() + number('minutes', Number.POSITIVE_INFINITY) * 60_000;
let stopped = false;
process.once('SIGINT', () => {
  stopped = true;
});
process.once('SIGTERM', () => {
  stopped = true;
});

const say = (line: string) => process.stdout.write(`${line}\n`);
say(`${chosen.length} targets, first seed ${seed}`);
process.exitCode = await fuzz({
  targets: chosen,
  seed,
  path: values.path,
  until: () => stopped || Date.now() >= endsAt,
  runsPerRound: number('runs', 300),
  say,
});
