import type { Target } from './target.ts';

export interface FuzzOptions {
  readonly targets: readonly Target[];
  /** The first seed; each round takes the next one. */
  readonly seed: number;
  /** Leads to one counterexample under the seed; with it, one round only. */
  readonly path?: string | undefined;
  /** When no new round begins. */
  readonly until: () => boolean;
  readonly runsPerRound: number;
  readonly say: (line: string) => void;
  /** Rounds between two lines of progress. */
  readonly progressEvery?: number;
}

/**
 * Runs every target in turn, a round under one seed each, until `until` says so or one fails.
 * Returns the exit code: 1 after a counterexample, whose replay command is the last line said.
 */
export async function fuzz(options: FuzzOptions): Promise<0 | 1> {
  const { targets, until, runsPerRound, say, path, progressEvery = 20 } = options;
  const totals = new Map<string, { runs: number; counts: Record<string, number> }>(
    targets.map(({ name }) => [name, { runs: 0, counts: {} }]),
  );
  let { seed } = options;
  let rounds = 0;
  let goOn = true;
  while (goOn) {
    for (const target of targets) {
      const batch = await target.batch({ numRuns: runsPerRound, seed, path });
      const total = totals.get(target.name);
      if (total !== undefined) {
        total.runs += batch.runs;
        for (const [name, count] of Object.entries(batch.counts)) {
          total.counts[name] = (total.counts[name] ?? 0) + count;
        }
      }
      if (batch.failure !== undefined) {
        const { failure } = batch;
        say(`${target.name} is broken: ${target.says}`);
        say(`  ${failure.error}`);
        say(`  ${failure.counterexample}`);
        say('Replay it with');
        say(
          `npm run fuzz -- --target ${target.name} --seed ${failure.seed} --path ${failure.path}`,
        );
        return 1;
      }
    }
    rounds += 1;
    seed += 1;
    if (rounds % progressEvery === 0) say(`${rounds} rounds, next seed ${seed}`);
    goOn = path === undefined && !until();
  }
  for (const [name, total] of totals) say(line(name, total));
  return 0;
}

function line(name: string, { runs, counts }: { runs: number; counts: Record<string, number> }) {
  const shares = Object.entries(counts)
    .toSorted(([, a], [, b]) => b - a)
    .map(([reached, count]) => `${reached} ${((100 * count) / runs).toFixed(1)} %`);
  return `${name.padEnd(26)} ${String(runs).padStart(9)} runs  ${shares.join(', ')}`;
}
