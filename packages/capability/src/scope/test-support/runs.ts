import * as fc from 'fast-check';

/** 1,000 runs at the desk, 5,000 in CI. `REMIT_FC_SEED` replays a seed that a run printed. */
export const RUNS = process.env['CI'] === 'true' ? 5000 : 1000;

const given = Number(process.env['REMIT_FC_SEED']);
export const SEED = Number.isSafeInteger(given) && given !== 0 ? given : Date.now() % 2 ** 31;

export function configureRuns(): void {
  fc.configureGlobal({ numRuns: RUNS, seed: SEED });
  console.info(`fast-check: ${RUNS} runs, REMIT_FC_SEED=${SEED}`);
}

/** Counts how often a property met each case, so that a generator that tests nothing is seen. */
export function tally<K extends string>(...kinds: readonly K[]) {
  const counts = new Map<K, number>(kinds.map((kind) => [kind, 0]));
  return {
    add: (kind: K) => counts.set(kind, (counts.get(kind) ?? 0) + 1),
    share: (kind: K) =>
      (counts.get(kind) ?? 0) /
      Math.max(
        1,
        counts.values().reduce((a, b) => a + b, 0),
      ),
    line: () => [...counts].map(([kind, count]) => `${kind} ${count}`).join(', '),
  };
}
