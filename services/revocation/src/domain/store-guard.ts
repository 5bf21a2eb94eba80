import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { closed, conform, count, parseJsonStrict, text } from '@remit/contracts';
import { type Database, type Logger, wireError } from '@remit/service-kit';
import type { Static } from 'typebox';
import { knowsEpoch, readState, type StoreState, startEpoch } from '../store/epochs.ts';
import type { Tables } from '../store/tables.ts';

/** What was seen of a store, kept apart from it. */
const evidence = closed({ epoch: text(64), renewals: count, feedMs: count });
type Evidence = Static<typeof evidence>;

/** An epoch that no store knows. */
const UNREADABLE = 'unreadable';

export type StoreGuard = {
  /**
   * Compares the store with what was seen of it before, and starts a new epoch when it went back.
   * Resolves with whether it is as it should be; throws when the database doesn't answer.
   */
  verify(): Promise<boolean>;
  /** The store has counted so many renewals of its lease. */
  saw(renewals: number, feedMs: number): void;
  /**
   * Whether the store was verified within the last `knownForMs` and answered since. One that was put
   * back in between must not decide anything.
   */
  known(): boolean;
};

/**
 * Notices that the store was put back. Two witnesses: the store's epoch names the PostgreSQL cluster
 * and timeline that it began on, so a dump loaded elsewhere, a recovery to a point in time and a
 * promoted standby show by themselves; and each replica keeps in `file` how often the lease had been
 * renewed (four times a second), so an older copy of the same files shows too. What neither sees: a
 * copy of the files put back under a service that lost every replica's `file` at the same time, or one
 * that is younger than the last renewal.
 */
export function createStoreGuard(options: {
  database: Database<Tables>;
  log: Logger;
  file: string;
  monotonicMs: () => number;
  /** How long a verified store is taken for the same without another look; 2000 by default. */
  knownForMs?: number;
  /** A new epoch was begun for this reason. */
  onWentBack?: (why: string) => void;
}): StoreGuard {
  const { database, log, file, monotonicMs, knownForMs = 2_000, onWentBack } = options;
  let seen = read(file, log);
  let verifiedAtMs: number | null = null;
  let written = true;
  const draft = `${file}.${randomUUID().slice(0, 8)}`;

  function keep(next: Evidence): void {
    seen = next;
    try {
      // Renamed into place: half a file would be no evidence.
      writeFileSync(draft, JSON.stringify(next), { mode: 0o600 });
      renameSync(draft, file);
      written = true;
    } catch (error) {
      // What is in memory and on other replicas still counts; the feed goes on.
      if (written) log.error({ err: error, file }, 'what was seen of the store cannot be kept');
      written = false;
    }
  }

  async function wentBack(state: StoreState): Promise<string | undefined> {
    const { beganOn, runsOn } = state;
    if (beganOn !== null && runsOn !== null && beganOn !== runsOn) {
      return `it runs on ${runsOn} and its epoch began on ${beganOn}`;
    }
    if (seen === undefined) return undefined;
    if (seen.epoch === state.epoch) {
      const { renewals } = state;
      if (renewals >= seen.renewals) return undefined;
      return `it counts ${renewals} renewals of its lease where ${seen.renewals} were seen`;
    }
    if (await knowsEpoch(database, seen.epoch)) return undefined;
    return `it does not know the epoch ${seen.epoch}`;
  }

  return {
    verify: async () => {
      try {
        const state = await readState(database);
        const why = await wentBack(state);
        if (why !== undefined) {
          verifiedAtMs = null;
          const feedMs = seen?.feedMs ?? 0;
          const epoch = await startEpoch(database, { after: state.number, feedMs });
          if (epoch !== undefined) {
            log.error({ why, epoch }, 'the store went back: every token from before is dead');
            onWentBack?.(why);
          }
          // The next look finds the new epoch, whoever started it.
          if (seen !== undefined && seen.epoch !== state.epoch) seen = undefined;
          return false;
        }
        const { epoch, renewals, feedMs } = state;
        if (seen?.epoch !== epoch || seen.renewals !== renewals) keep({ epoch, renewals, feedMs });
        verifiedAtMs = monotonicMs();
        return true;
      } catch (error) {
        verifiedAtMs = null;
        throw error;
      }
    },
    saw: (renewals, feedMs) => {
      if (seen !== undefined && renewals > seen.renewals) {
        keep({ epoch: seen.epoch, renewals, feedMs });
      }
    },
    known: () => verifiedAtMs !== null && monotonicMs() - verifiedAtMs <= knownForMs,
  };
}

/** The same functions, which refuse with `UNAVAILABLE` while the store isn't known. */
export function guarded<T extends Record<string, unknown>>(
  guard: Pick<StoreGuard, 'known'>,
  functions: T,
): T {
  const wrapped = Object.entries(functions).map(([name, run]) => [
    name,
    async (...args: unknown[]): Promise<unknown> => {
      if (!guard.known()) throw wireError('UNAVAILABLE');
      return (run as (...args: unknown[]) => unknown)(...args);
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

function read(file: string, log: Logger): Evidence | undefined {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  let json: string;
  try {
    json = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
    log.info({ file }, 'nothing is known from outside about the store');
    return undefined;
  }
  try {
    return conform(evidence, parseJsonStrict(json));
  } catch {
    // Half a file, after a crash of the machine, is no reason to believe the store.
    log.warn({ file }, 'what was known from outside about the store cannot be read');
    return { epoch: UNREADABLE, renewals: 0, feedMs: 0 };
  }
}
