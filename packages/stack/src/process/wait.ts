import { setTimeout as pause } from 'node:timers/promises';
import { StackError } from '../error.ts';
import type { ManagedProcess } from './supervisor.ts';

const POLL_MS = 15;

/**
 * Asks again and again until `probe` answers with something other than undefined. A probe that
 * throws counts as "not yet"; its last error is the cause when time runs out.
 * Throws StackError `NOT_READY` after `timeoutMs`, and `PROCESS_EXITED` as soon as `process`, if
 * given, has ended.
 */
export async function waitUntil<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  options: { timeoutMs: number; process?: ManagedProcess },
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  let cause: unknown;
  for (;;) {
    if (options.process?.exit !== undefined) throw exited(options.process);
    try {
      const value = await probe();
      if (value !== undefined) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) {
      throw new StackError(
        'NOT_READY',
        `${what} was not ready within ${options.timeoutMs / 1000} s${hint(options.process)}`,
        { cause },
      );
    }
    await pause(POLL_MS);
  }
}

/** Waits until `url` answers 200. `lastAnswer` of a refusal is part of the error. */
export async function waitUntilReady(
  name: string,
  url: string,
  options: { timeoutMs: number; process?: ManagedProcess },
): Promise<void> {
  let last = 'no answer';
  const probe = async (): Promise<true | undefined> => {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    const body = await response.text();
    if (response.status === 200) return true;
    last = `${response.status} ${body.slice(0, 300)}`;
    return undefined;
  };
  try {
    await waitUntil(name, probe, options);
  } catch (error) {
    if (!(error instanceof StackError) || error.code !== 'NOT_READY') throw error;
    throw new StackError('NOT_READY', `${error.message}; its last answer: ${last}`, {
      cause: error.cause,
    });
  }
}

function exited(process: ManagedProcess): StackError {
  const { code, signal } = process.exit ?? { code: null, signal: null };
  return new StackError(
    'PROCESS_EXITED',
    `${process.name} ended with ${signal ?? code}${hint(process)}`,
    { details: { name: process.name, code, signal } },
  );
}

function hint(process: ManagedProcess | undefined): string {
  if (process === undefined) return '.';
  const tail = process.logTail().trim().split('\n').slice(-5).join('\n  ');
  return `; its log is ${process.logFile}${tail === '' ? '' : ` and ends with:\n  ${tail}`}`;
}
