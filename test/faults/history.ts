import { appendFileSync, readFileSync } from 'node:fs';

/** What one token says, as far as checkers need it. `use` is what its single use is called. */
export type TokenSeen = {
  kind: 'token';
  t: number;
  token: string;
  lineage: string[];
  task: string;
  user: string;
  agents: string[];
  use: string | null;
  rev: { epoch: string; seq: number };
  permissions: { actions: string[]; resources: string[] }[];
};

/**
 * One line of a history. `t` is milliseconds of the machine's monotonic clock, which all processes
 * share. A request is an `invoke`, then `ok` with its answer, or `info`: nobody knows what became of
 * it. What has no second line at all is unknown as well.
 */
export type Line =
  | TokenSeen
  | {
      kind: 'call';
      phase: 'invoke';
      t: number;
      call: string;
      pep: string;
      token: string;
      action: string;
      resource: string;
    }
  /** `answer` is `allow`, or the reason of the refusal. */
  | { kind: 'call'; phase: 'ok'; t: number; call: string; answer: string; decision: string | null }
  | { kind: 'call'; phase: 'info'; t: number; call: string }
  /** The tool did the work; written by the tool itself. */
  | { kind: 'executed'; t: number; pep: string; call: string; decision: string }
  /** How far the log of revocations was applied when a PEP decided; written by the tool. */
  | { kind: 'seen'; t: number; pep: string; epoch: string; seq: number }
  | { kind: 'revoke'; phase: 'invoke'; t: number; revoke: string; what: string; id: string }
  | { kind: 'revoke'; phase: 'ok'; t: number; revoke: string; epoch: string; seq: number }
  | { kind: 'revoke'; phase: 'info'; t: number; revoke: string }
  /** The operator began a new epoch. */
  | { kind: 'epoch'; t: number; epoch: string }
  /** From `begin` on nothing of the feed can reach this PEP (`*`: any PEP), until `end`. */
  | { kind: 'blind'; phase: 'begin' | 'end'; t: number; pep: string }
  | { kind: 'fault'; phase: 'begin' | 'end'; t: number; fault: string; says: string }
  /** A process of the harness could not run for this long: it sees things late by as much. */
  | { kind: 'lag'; t: number; who: string; ms: number }
  | { kind: 'forged'; t: number; says: string; id: string }
  /** A row of the ledger, read at the end; `corrects` is the decision that it takes back. */
  | {
      kind: 'row';
      t: number;
      id: string;
      seq: number;
      decision: string | null;
      corrects?: string | null;
    };

type WithoutTime<L> = L extends Line ? Omit<L, 't'> : never;
export type Note = WithoutTime<Line>;
export type History = readonly Line[];

/** Milliseconds of CLOCK_MONOTONIC. */
export const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

/** Appends lines to a file of one process. What is appended survives a SIGKILL of that process. */
export function openHistory(file: string): (note: Note) => number {
  return (note) => {
    const t = monotonicMs();
    appendFileSync(file, `${JSON.stringify({ ...note, t })}\n`);
    return t;
  };
}

/** The lines of several files in the order of time. A last line that was cut off is left out. */
export function readHistory(files: readonly string[]): Line[] {
  return files
    .flatMap((file) => readFileSync(file, 'utf8').split('\n').slice(0, -1))
    .map((line) => JSON.parse(line) as Line)
    .toSorted((a, b) => a.t - b.t);
}
