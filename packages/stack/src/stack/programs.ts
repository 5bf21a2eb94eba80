import { existsSync } from 'node:fs';
import { StackError } from '../error.ts';
import type { ManagedProcess, Supervisor } from '../process/supervisor.ts';
import { waitUntilReady } from '../process/wait.ts';
import type { StackPlan } from './plan.ts';
import { baseEnvironment, repositoryRoot } from './repository.ts';
import { type Environment, writeEnvironment } from './service-env.ts';

const READY_TIMEOUT_MS = 30_000;

/** A program of ours that runs as a process: a service, the IdP, the ERP. */
export type Program = {
  program: string;
  args?: readonly string[];
  env?: Environment;
  /** Answers 200 when it is ready. */
  readyUrl: string;
};

export type Programs = {
  readonly names: readonly string[];
  /** Writes its environment (0600) and says how somebody runs it by hand. */
  command(name: string): string;
  launch(name: string): ManagedProcess;
  /** Throws StackError `NOT_READY` or `PROCESS_EXITED`. */
  ready(name: string, managed: ManagedProcess, timeoutMs?: number): Promise<void>;
};

/** The programs of a stack by name; those of `extras` stop before the services do. */
export function createPrograms(options: {
  plan: StackPlan;
  supervisor: Supervisor;
  services: ReadonlyMap<string, Program>;
  extras: ReadonlyMap<string, Program>;
  logFile: (name: string) => string;
}): Programs {
  const { plan, supervisor, services, extras, logFile } = options;
  const find = (name: string): Program => {
    const found = services.get(name) ?? extras.get(name);
    if (found === undefined) throw new RangeError(`${name} is no program of this stack`);
    return found;
  };
  return {
    names: [...services.keys(), ...extras.keys()],
    command(name) {
      const { program, args, env } = find(name);
      return [writeEnvironment(plan, name, env ?? {}, program), ...(args ?? [])].join(' ');
    },
    launch(name) {
      const { program, args, env } = find(name);
      if (!existsSync(program)) {
        throw new StackError('CONFIG_INVALID', `${name} has no program at ${program}.`);
      }
      return supervisor.start({
        name,
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', program, ...(args ?? [])],
        env: { ...baseEnvironment(), REMIT_PARENT_WATCH: '1', ...env },
        cwd: repositoryRoot,
        logFile: logFile(name),
        tier: extras.has(name) ? 2 : 1,
      });
    },
    ready: (name, managed, timeoutMs = READY_TIMEOUT_MS) =>
      waitUntilReady(name, find(name).readyUrl, { timeoutMs, process: managed }),
  };
}
