import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { StackError } from '../error.ts';
import { removeTemporary, signalGroup, writePidFile } from './pid-files.ts';

export type ProcessSpec = {
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** Receives stdout and stderr, appended. */
  logFile: string;
  /** Processes of a higher tier are stopped first; those of one tier together. Default 0. */
  tier?: number;
  /** How it is asked to stop. Default SIGTERM. */
  stopSignal?: NodeJS.Signals;
  /** After this it gets SIGKILL. Default 10,000. */
  stopTimeoutMs?: number;
  /** Temporary folders that go with it. */
  folders?: readonly string[];
};

export type ProcessExit = { code: number | null; signal: NodeJS.Signals | null };

export type ManagedProcess = {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly spec: ProcessSpec;
  /** Set once the process has ended. */
  readonly exit: ProcessExit | undefined;
  readonly exited: Promise<ProcessExit>;
  /** The last 4 KB of its log. */
  logTail(): string;
  /** Sends a signal to its whole group. */
  signal(signal: NodeJS.Signals): void;
  /** Stops it: its stop signal, then SIGKILL. Resolves when it is gone. */
  stop(): Promise<void>;
};

export type Supervisor = {
  readonly runDir: string;
  start(spec: ProcessSpec): ManagedProcess;
  running(): ManagedProcess[];
  /** Called when a process ends that nobody asked to stop. */
  onUnexpectedExit(listener: (process: ManagedProcess) => void): void;
  /** Stops everything, highest tier first. Resolves when all are gone; may be called again. */
  stopAll(): Promise<void>;
};

/**
 * Owns processes: each in a group of its own, each ended when this process ends, however it ends. On
 * a clean end `stopAll` stops them; on an abrupt one the kernel tells them (pdeathsig, Linux); what a
 * SIGKILL leaves elsewhere is found by `sweep` through the pid files in `runDir`.
 */
export function createSupervisor(options: { runDir: string }): Supervisor {
  const processes = new Set<ManagedProcess>();
  const listeners: ((process: ManagedProcess) => void)[] = [];

  const onExit = (): void => {
    for (const each of processes) {
      signalGroup(each.pid, 'SIGKILL');
      for (const folder of each.spec.folders ?? []) removeTemporary(folder);
    }
  };

  return {
    runDir: options.runDir,
    start(spec) {
      if (processes.size === 0) process.on('exit', onExit);
      const managed = launch(spec, options.runDir, (asked) => {
        processes.delete(managed);
        if (processes.size === 0) process.off('exit', onExit);
        if (!asked) for (const listener of listeners) listener(managed);
      });
      processes.add(managed);
      return managed;
    },
    running: () => [...processes],
    onUnexpectedExit(listener) {
      listeners.push(listener);
    },
    async stopAll() {
      const tiers = [...new Set([...processes].map((each) => each.spec.tier ?? 0))];
      for (const tier of tiers.toSorted((a, b) => b - a)) {
        const members = [...processes].filter((each) => (each.spec.tier ?? 0) === tier);
        await Promise.all(members.map((each) => each.stop()));
      }
    },
  };
}

function launch(
  spec: ProcessSpec,
  runDir: string,
  ended: (asked: boolean) => void,
): ManagedProcess {
  mkdirSync(dirname(spec.logFile), { recursive: true, mode: 0o700 });
  const log = openSync(spec.logFile, 'a', 0o600);
  const { command, args } = withDeathSignal(spec);
  let child: ChildProcess;
  try {
    child = spawn(command, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: spec.env ?? process.env,
      ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
      ...(spec.uid === undefined ? {} : { uid: spec.uid }),
      ...(spec.gid === undefined ? {} : { gid: spec.gid }),
    });
  } finally {
    closeSync(log);
  }
  let exit: ProcessExit | undefined;
  let asked = false;
  let stopping: Promise<void> | undefined;
  const { promise: exited, resolve } = Promise.withResolvers<ProcessExit>();
  const forget =
    child.pid === undefined
      ? () => {}
      : writePidFile(runDir, {
          name: spec.name,
          pid: child.pid,
          ...(spec.folders === undefined ? {} : { folders: spec.folders }),
        });
  const finish = (result: ProcessExit): void => {
    if (exit !== undefined) return;
    exit = result;
    for (const folder of spec.folders ?? []) removeTemporary(folder);
    forget();
    ended(asked);
    resolve(result);
  };
  child.on('error', () => finish({ code: 127, signal: null }));
  child.on('exit', (code, signal) => finish({ code, signal }));
  const pid = child.pid;
  if (pid === undefined) {
    throw new StackError('PROCESS_EXITED', `${spec.name} could not be started: ${spec.command}`, {
      details: { name: spec.name, command: spec.command },
    });
  }

  const stop = async (): Promise<void> => {
    asked = true;
    signalGroup(pid, spec.stopSignal ?? 'SIGTERM');
    const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), spec.stopTimeoutMs ?? 10_000);
    await exited;
    clearTimeout(timer);
    // Whatever the process left in its own group ends with it.
    signalGroup(pid, 'SIGKILL');
  };
  return {
    name: spec.name,
    pid,
    logFile: spec.logFile,
    spec,
    get exit() {
      return exit;
    },
    exited,
    logTail: () => readFileSync(spec.logFile, 'utf8').slice(-4096),
    signal: (signal) => signalGroup(pid, signal),
    stop() {
      if (exit !== undefined) return Promise.resolve();
      stopping ??= stop();
      return stopping;
    },
  };
}

let deathSignalSupport: boolean | undefined;

/**
 * On Linux the kernel sends the stop signal when we die, even by SIGKILL. It is bound to the thread
 * that starts the child, so a supervisor belongs on a main thread.
 */
function withDeathSignal(spec: ProcessSpec): { command: string; args: readonly string[] } {
  deathSignalSupport ??= probeDeathSignal();
  if (!deathSignalSupport) return spec;
  const signal = (spec.stopSignal ?? 'SIGTERM').replace('SIG', '');
  return { command: 'setpriv', args: ['--pdeathsig', signal, spec.command, ...spec.args] };
}

function probeDeathSignal(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    execFileSync('setpriv', ['--pdeathsig', 'TERM', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
