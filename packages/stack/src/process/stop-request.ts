import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const PARENT_POLL_MS = 500;

export type StopRequest = {
  /** Set once a stop was asked for: in words, and as the exit code that says so. */
  readonly asked: { reason: string; exitCode: number } | undefined;
  /** Resolves with the request: for `Promise.race` with the work. */
  readonly promise: Promise<{ reason: string; exitCode: number }>;
  /** Aborted by the request: for work that can be called off. */
  readonly signal: AbortSignal;
  dispose(): void;
};

/**
 * Listens for the wish to stop: SIGINT, SIGTERM, SIGHUP, or the end of the process that started this
 * one (SIGTERM to npm kills npm alone). The first wish counts; the same Ctrl-C that arrives twice, by
 * the terminal and forwarded, is one. Does not end the process: who listens stops what it started and
 * sets `process.exitCode`.
 */
export function listenForStop(): StopRequest {
  const { promise, resolve } = Promise.withResolvers<{ reason: string; exitCode: number }>();
  const calledOff = new AbortController();
  let asked: { reason: string; exitCode: number } | undefined;
  const ask = (reason: string, signal: NodeJS.Signals): void => {
    if (asked !== undefined) return;
    asked = { reason, exitCode: 128 + constants.signals[signal] };
    resolve(asked);
    calledOff.abort(new Error(reason));
  };
  const handlers = SIGNALS.map((signal) => ({ signal, handle: () => ask(signal, signal) }));
  for (const { signal, handle } of handlers) process.on(signal, handle);

  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid !== parent) ask('the command that started this is gone', 'SIGTERM');
  }, PARENT_POLL_MS);
  timer.unref();
  return {
    get asked() {
      return asked;
    },
    promise,
    signal: calledOff.signal,
    dispose() {
      clearInterval(timer);
      for (const { signal, handle } of handlers) process.off(signal, handle);
    },
  };
}
