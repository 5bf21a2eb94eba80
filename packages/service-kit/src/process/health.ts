import { within } from './lifecycle.ts';
import type { Logger } from './log.ts';

/** A dependency check: returns when the dependency can be used, throws a sentence when not. */
export type HealthCheck = () => Promise<void> | void;
export type CheckState = { ok: boolean; reason?: string };
export type Readiness = { ready: boolean; checks: Record<string, CheckState> };

export type Health = {
  /** Adds a named dependency. Not ready until its first check passed. */
  add: (name: string, check: HealthCheck) => void;
  /** The newest answers; does not wait. */
  readiness: () => Readiness;
  /** Runs every check once, now. */
  poll: () => Promise<Readiness>;
  start: () => void;
  stop: () => void;
};

/** Why a dependency is not there, as one safe sentence for `/readyz`. */
export class NotReady extends Error {
  override readonly name = 'NotReady';
}

/**
 * Watches what a service needs. Every dependency is asked each `intervalMs` (default 400) and has
 * `timeoutMs` (default 800) to answer, so a cut is seen within 1.2 s and a heal likewise.
 */
export function createHealth(options: {
  log: Logger;
  intervalMs?: number;
  timeoutMs?: number;
}): Health {
  const { log, intervalMs = 400, timeoutMs = 800 } = options;
  const checks = new Map<string, { check: HealthCheck; state: CheckState; busy: boolean }>();
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;

  async function runOne(name: string): Promise<void> {
    const entry = checks.get(name);
    if (!entry || entry.busy) return;
    entry.busy = true;
    const before = entry.state.ok;
    try {
      await within(Promise.resolve(entry.check()), timeoutMs);
      entry.state = { ok: true };
    } catch (error) {
      entry.state = { ok: false, reason: reasonOf(error) };
      if (before) log.warn({ dependency: name, err: error }, 'a dependency went away');
    } finally {
      entry.busy = false;
    }
    if (!before && entry.state.ok) log.info({ dependency: name }, 'a dependency is there');
  }

  function readiness(): Readiness {
    const states = Object.fromEntries([...checks].map(([name, { state }]) => [name, state]));
    if (stopping) states.process = { ok: false, reason: 'the service is stopping' };
    return { ready: Object.values(states).every((state) => state.ok), checks: states };
  }

  async function poll(): Promise<Readiness> {
    await Promise.all([...checks.keys()].map(runOne));
    return readiness();
  }

  return {
    add: (name, check) => {
      checks.set(name, { check, state: { ok: false, reason: 'not checked yet' }, busy: false });
    },
    readiness,
    poll,
    start: () => {
      timer ??= setInterval(() => void poll(), intervalMs);
      timer.unref();
    },
    stop: () => {
      stopping = true;
      clearInterval(timer);
    },
  };
}

/** Only {@link NotReady} speaks for itself; any other error may hold an address or a secret. */
function reasonOf(error: unknown): string {
  return error instanceof NotReady ? error.message : 'it did not answer';
}
