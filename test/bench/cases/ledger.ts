import { setTimeout as pause } from 'node:timers/promises';
import { testServers } from '@remit/testkit';
import {
  createDrain,
  createSteady,
  type LedgerAnswers,
  openAnswers,
} from '../../../services/audit/src/test/bench.ts';
import type { Bench } from '../harness.ts';

const DRAINED = 10_000;
const PER_SECOND = 5_000;

const drain: Bench = {
  name: 'ledger-drain',
  says: `one of ${DRAINED} records goes from the stream into the ledger and its tree, in the service`,
  baselineSays: 'PostgreSQL COPY of the same rows into the same tables, a thousand at a time',
  targetRatio: 2,
  perRound: 1,
  rounds: 2,
  selfTimed: true,
  setup: () => createDrain(testServers(), DRAINED),
};

const steady: Bench = {
  name: 'ledger-steady',
  says: `the last of ${PER_SECOND} records of a second, sent all the time, is committed after it was sent`,
  baselineSays: `PostgreSQL COPY of the ${PER_SECOND} records of a second into the same tables`,
  perRound: Number(process.env['REMIT_BENCH_SECONDS'] ?? 10),
  rounds: 1,
  selfTimed: true,
  setup: () => createSteady(testServers(), PER_SECOND, () => pause(0)),
};

/** The ledger that all the cases below ask; filled when the first one begins. */
let answers: Promise<LedgerAnswers> | undefined;
const records = Number(process.env['REMIT_BENCH_RECORDS'] ?? 50_000);
const filled = (): Promise<LedgerAnswers> => (answers ??= openAnswers(testServers(), records));

/** Ends what the cases share. */
export async function closeLedger(): Promise<void> {
  await (await answers)?.close();
}

const asked = (
  name: string,
  says: string,
  baselineSays: string,
  operations: (
    from: LedgerAnswers,
  ) => Pick<Awaited<ReturnType<Bench['setup']>>, 'subject' | 'baseline'>,
  perRound: number,
  more: Partial<Bench> = {},
): Bench => ({
  name: `ledger-${name}`,
  says: `${says}, of ${records} records`,
  baselineSays,
  perRound,
  ...more,
  setup: async () => operations(await filled()),
});

const KEY = 'the same number of rows by their primary key';
const queries = (['task', 'agent', 'user', 'reason', 'resource', 'time'] as const).map((filter) =>
  asked(
    `by-${filter}`,
    `the newest 50 records by ${filter}`,
    KEY,
    ({ query, rows }) => ({ subject: () => query(filter), baseline: rows }),
    50,
  ),
);

const proof = asked(
  'proof',
  'the inclusion proof of any record',
  'one row by its primary key',
  (from) => ({ subject: from.proof, baseline: from.row }),
  100,
);

const verify = asked(
  'verify',
  'a record verified, from the database',
  'a record read from the database, 500 at a time, and hashed once',
  (from) => ({ subject: from.verify, baseline: from.readAll }),
  1,
  { selfTimed: true, rounds: 1 },
);

export const ledgers: readonly Bench[] = [drain, steady, ...queries, proof, verify];
