import { cpus, totalmem } from 'node:os';

/** One operation. A synchronous one is timed without the cost of a promise. */
export type Operation = () => unknown;

/** What a case measures, and the baseline that it is compared with in the same run. */
export type Bench = {
  name: string;
  /** What `subject` does, in words. */
  says: string;
  baselineSays: string;
  /** The target of the design as a ratio subject ÷ baseline of the medians, if there is one. */
  targetRatio?: number;
  /** Operations per round; there are eight rounds, alternating baseline and subject. */
  perRound: number;
  /** Rounds of each side that count, after one to warm up. Default 4; 1 does without warming up. */
  rounds?: number;
  /**
   * Operations say themselves how long what they measure took, in microseconds, or several of it: what
   * ends in another process, or begins in the middle.
   */
  selfTimed?: boolean;
  setup(): Promise<{
    subject: Operation;
    baseline: Operation;
    /** Called before each round, unmeasured, e.g. to make fresh input. */
    prepare?: (operations: number) => Promise<void>;
    close?: () => Promise<void>;
  }>;
};

export type Distribution = {
  p50Us: number;
  p99Us: number;
  p999Us: number;
  perSecond: number;
  operations: number;
};
export type Measured = {
  name: string;
  says: string;
  baselineSays: string;
  subject: Distribution;
  baseline: Distribution;
  /** Subject ÷ baseline of the medians. */
  ratio: number;
  targetRatio: number | null;
};

const ROUNDS = 4;

/** Runs a case: A B A B A B A B, so that a noisy neighbour hits both alike. The first of each warms up. */
export async function measure(bench: Bench): Promise<Measured> {
  const { subject, baseline, prepare, close } = await bench.setup();
  const times = { subject: [] as number[], baseline: [] as number[] };
  try {
    const rounds = bench.rounds ?? ROUNDS;
    for (let round = rounds === 1 ? 1 : 0; round <= rounds; round++) {
      for (const [side, operation] of [
        ['baseline', baseline],
        ['subject', subject],
      ] as const) {
        await prepare?.(bench.perRound);
        const taken = bench.selfTimed
          ? await askRound(operation, bench.perRound)
          : await timeRound(operation, bench.perRound);
        if (round > 0) times[side].push(...taken);
      }
    }
  } finally {
    await close?.();
  }
  const measured = { subject: distribution(times.subject), baseline: distribution(times.baseline) };
  return {
    name: bench.name,
    says: bench.says,
    baselineSays: bench.baselineSays,
    ...measured,
    ratio: round2(measured.subject.p50Us / measured.baseline.p50Us),
    targetRatio: bench.targetRatio ?? null,
  };
}

async function timeRound(operation: Operation, count: number): Promise<Float64Array> {
  const taken = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const startedAt = process.hrtime.bigint();
    const result = operation();
    if (result instanceof Promise) await result;
    taken[i] = Number(process.hrtime.bigint() - startedAt) / 1_000;
  }
  return taken;
}

async function askRound(operation: Operation, count: number): Promise<number[]> {
  const taken: number[] = [];
  for (let i = 0; i < count; i++) {
    const said = (await operation()) as number | number[];
    taken.push(...(Array.isArray(said) ? said : [said]));
  }
  return taken;
}

function distribution(times: number[]): Distribution {
  const sorted = Float64Array.from(times).toSorted();
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
  const total = sorted.reduce((sum, time) => sum + time, 0);
  return {
    p50Us: round2(at(0.5)),
    p99Us: round2(at(0.99)),
    p999Us: round2(at(0.999)),
    perSecond: Math.round((sorted.length / total) * 1_000_000),
    operations: sorted.length,
  };
}

const round2 = (value: number) => Math.round(value * 100) / 100;

/** What a figure was measured on. Machines are shared and noisy: only ratios are claimed. */
export function machine() {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    openssl: process.versions.openssl,
    platform: `${process.platform}-${process.arch}`,
  };
}

/** The table that a person reads. */
export function table(results: readonly Measured[]): string {
  const rows = [
    ['case', 'p50 µs', 'p99 µs', 'p999 µs', 'per s', 'baseline p50 µs', 'ratio', 'target'],
    ...results.map(({ name, subject, baseline, ratio, targetRatio }) => [
      name,
      String(subject.p50Us),
      String(subject.p99Us),
      String(subject.p999Us),
      String(subject.perSecond),
      String(baseline.p50Us),
      `${ratio} ×`,
      targetRatio === null ? '' : `≤ ${targetRatio} ×`,
    ]),
  ];
  const widths =
    rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length))) ??
    [];
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number),
        )
        .join('  '),
    )
    .join('\n');
}
