import { setTimeout as pause } from 'node:timers/promises';
import { judge } from './checkers/index.ts';
import type { Violation } from './checkers/model.ts';
import { openForger } from './forger.ts';
import { readHistory } from './history.ts';
import { inflict, inWords } from './nemesis.ts';
import type { Random } from './random.ts';
import type { Step } from './schedule.ts';
import { ledgerRows } from './store-copy.ts';
import { startWork, type Work } from './work.ts';
import { EVERYBODY, TOOLS, type World } from './world.ts';

export type Result = {
  violations: Violation[];
  counts: ReturnType<Work['counts']>;
  /** By step: what was broken, and how long after it was healed every PEP allowed again. */
  recoveries: { says: string; ms: number | null }[];
};

/** How long it is waited for that every PEP allows again; after `recoverMs` it is a violation. */
const GIVE_UP_MS = 45_000;
const LEDGER_MS = 60_000;

/** Breaks one step after the other while agents work, then judges everything that was seen. */
export async function campaign(
  world: World,
  random: Random,
  steps: Iterable<Step>,
  say: (line: string) => void,
): Promise<Result> {
  await using forger = await openForger(world);
  const work = startWork(world, random, { forger });
  const recoveries: Result['recoveries'] = [];
  try {
    await allAllow(world, work, GIVE_UP_MS);
    for (const step of steps) {
      const says = step.map(inWords).join('; and ');
      say(says);
      await Promise.all(step.map((fault) => inflict(world, fault)));
      const ms = await allAllow(world, work, GIVE_UP_MS);
      recoveries.push({ says, ms });
      say(`  every PEP allows again after ${ms === null ? 'never' : Math.round(ms)} ms`);
      await allReady(world, GIVE_UP_MS);
      // A moment without faults, in which the promise itself is judged.
      await pause(500);
    }
  } finally {
    await work.stop();
  }
  await noteLedger(world);
  return {
    violations: judge(readHistory(world.historyFiles)),
    counts: work.counts(),
    recoveries,
  };
}

/** Until each tool has allowed a live token; how long that took, or null when it gave up. */
async function allAllow(world: World, work: Work, giveUpMs: number): Promise<number | null> {
  const startedAt = performance.now();
  const waiting = new Set(TOOLS);
  while (waiting.size > 0) {
    if (performance.now() - startedAt > giveUpMs) return null;
    const held = await work.live();
    await Promise.all(
      [...waiting].map(async (tool) => {
        if (await work.call(tool, held)) waiting.delete(tool);
      }),
    );
    await pause(25);
  }
  return performance.now() - startedAt;
}

/** What is broken next must meet a deployment that is whole, or it is two faults at once. */
async function allReady(world: World, giveUpMs: number): Promise<void> {
  const startedAt = performance.now();
  for (const name of EVERYBODY) {
    while (!(await world.ready(name))) {
      if (performance.now() - startedAt > giveUpMs) throw new Error(`${name} is not ready again`);
      await pause(50);
    }
  }
}

/**
 * Notes the rows of the ledger once it has what was decided, as far as it gets that. What `expected` tools
 * decided may be missing.
 */
export async function noteLedger(world: World, expected: readonly string[] = []): Promise<void> {
  const startedAt = performance.now();
  for (;;) {
    const rows = await ledgerRows(world);
    const whole = [
      ...readHistory(world.historyFiles).filter(({ kind }) => kind !== 'row'),
      ...rows.map((row) => ({ kind: 'row' as const, t: 0, ...row })),
    ];
    const missing = judge(whole, { only: ['I1'] }).filter(
      ({ says }) => !expected.some((tool) => says.startsWith(`${tool} `)),
    );
    if (missing.length === 0 || performance.now() - startedAt > LEDGER_MS) {
      const noted = new Set(
        readHistory(world.historyFiles).flatMap((line) => (line.kind === 'row' ? [line.seq] : [])),
      );
      for (const row of rows) if (!noted.has(row.seq)) world.note({ kind: 'row', ...row });
      return;
    }
    await pause(500);
  }
}
