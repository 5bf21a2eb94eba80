import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type DevFile, SERVICES } from '@remit/contracts';
import {
  type ExtraContext,
  freePort,
  type Program,
  removeStack,
  type Stack,
  StackError,
  startStack,
  startTcpProxy,
  type TcpProxy,
  waitUntil,
} from '@remit/stack';
import { AGENTS, TENANTS } from '../../demo/organisation.ts';
import { describe, idp, loadOrganisation } from '../../demo/stack.ts';
import { monotonicMs, openHistory } from './history.ts';
import { SABOTAGES } from './sabotages.ts';

const TENANT = 'acme';
/** Tools with an honest PEP. The first one's address is the audience of all. */
export const TOOLS: readonly string[] = ['erp', 'erp-2', 'erp-3'];
/** Two of each service, so that no single death stops anything. */
export const PROCESSES: readonly string[] = SERVICES.flatMap((name) => [name, `${name}-2`]);
/** Whatever can be killed and started again, beside the two servers. */
export const EVERYBODY: readonly string[] = [...PROCESSES, ...TOOLS];

export type Server = 'nats' | 'postgres';
type Tap = (connection: number, from: 'client' | 'target', chunk: Buffer) => void;

/** A whole deployment, each process with lines of its own to nats and PostgreSQL that can be broken. */
export type World = AsyncDisposable & {
  readonly stack: Stack;
  readonly dev: DevFile;
  readonly note: ReturnType<typeof openHistory>;
  /** The files that together are the history: the harness' and one of each tool. */
  readonly historyFiles: readonly string[];
  line(program: string, server: Server): TcpProxy;
  /** Sees what is said between a program and PostgreSQL, until set to undefined. */
  tap(program: string, tap: Tap | undefined): void;
  /** Puts the wall clock of a process off by so much. */
  clock(program: string, offsetMs: number): void;
  kill(name: string): Promise<void>;
  signal(name: string, signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Starts what has died and waits until it is ready; `ready` false does not wait. */
  start(name: string): Promise<void>;
  ready(name: string): Promise<boolean>;
};

/** How long processes of a busy machine are waited for. */
const READY_MS = 90_000;
const LAG_EVERY_MS = 20;
const LAG_COUNTS_MS = 60;

const TRIES = 3;

/** Starts the deployment. Histories and clocks lie in `dir`, which stays. */
export async function openWorld(options: {
  dir: string;
  onProgress?: (line: string) => void;
}): Promise<World> {
  for (let tries = 1; ; tries++) {
    try {
      return await tryWorld(options);
    } catch (error) {
      // With so many servers a port that was free may be taken by the time of its own.
      const ended = error instanceof StackError && error.code === 'PROCESS_EXITED';
      if (!ended || tries === TRIES) throw error;
      options.onProgress?.(error.message);
      removeStack(join(options.dir, 'stack'));
    }
  }
}

async function tryWorld(options: {
  dir: string;
  onProgress?: (line: string) => void;
}): Promise<World> {
  const { dir, onProgress = () => {} } = options;
  mkdirSync(dir, { recursive: true });
  const cleanup = new AsyncDisposableStack();
  const files = new Map<string, string>();
  const fileOf = (who: string): string => {
    const file = join(dir, `${who}.ndjson`);
    if (!files.has(who)) writeFileSync(file, '');
    files.set(who, file);
    return file;
  };
  const note = openHistory(fileOf('harness'));
  const lines = new Map<string, TcpProxy>();
  const taps = new Map<string, Tap>();
  const openLine = async (name: string, target: number, port?: number): Promise<TcpProxy> => {
    const proxy = await startTcpProxy({
      target: { port: target },
      ...(port === undefined ? {} : { port }),
      tap: (...seen) => taps.get(name)?.(...seen),
    });
    cleanup.defer(() => proxy.close());
    lines.set(name, proxy);
    return proxy;
  };
  const clockFile = (program: string): string => join(dir, `${program}.clock`);
  const clockEnv = (program: string) => ({
    FAULTS_CLOCK_FILE: clockFile(program),
    NODE_OPTIONS: preload('wall-clock.ts'),
  });

  const sabotaged = Object.keys(SABOTAGES);
  const toolPorts = new Map<string, number>();
  for (const tool of [...TOOLS, ...sabotaged]) toolPorts.set(tool, await freePort());
  const opening: Promise<TcpProxy>[] = [];
  const tool =
    (name: string) =>
    ({ plan, bus, trustFile }: ExtraContext): Program => {
      const port = toolPorts.get(name) as number;
      opening.push(openLine(`${name} nats`, plan.port('nats'), port));
      const spool = plan.path('spool', name);
      mkdirSync(spool, { recursive: true, mode: 0o700 });
      return {
        program: join(import.meta.dirname, 'tool.ts'),
        env: {
          ...(Object.hasOwn(SABOTAGES, name)
            ? { FAULTS_SABOTAGE: name, NODE_OPTIONS: preload('sabotage.ts') }
            : clockEnv(name)),
          TOOL_PORT: String(plan.port(name)),
          TOOL_TENANT: TENANT,
          TOOL_AUDIENCE: plan.url('erp'),
          TOOL_TRUST_FILE: trustFile,
          TOOL_NATS_URL: `nats://127.0.0.1:${port}`,
          TOOL_NATS_USER: name,
          TOOL_NATS_SEED_FILE: bus.pepSeedFile(TENANT, name),
          TOOL_SPOOL_DIR: spool,
          TOOL_HISTORY: fileOf(name),
        },
        readyUrl: `${plan.url(name)}/healthz`,
      };
    };

  try {
    const stack = await startStack({
      dir: join(dir, 'stack'),
      ports: 'free',
      tenants: TENANTS,
      members: { peps: { [TENANT]: [...TOOLS, ...sabotaged] }, siems: ['siem'] },
      agents: AGENTS.map(({ id }) => id),
      databases: ['erp'],
      replicas: 2,
      lineTo: async (name, server, port) => (await openLine(`${name} ${server}`, port)).port,
      serviceEnv: Object.fromEntries(PROCESSES.map((name) => [name, clockEnv(name)])),
      extras: {
        idp,
        ...Object.fromEntries([...TOOLS, ...sabotaged].map((name) => [name, tool(name)])),
      },
      without: sabotaged,
      onProgress,
    });
    cleanup.defer(() => stack.stopAll());
    await Promise.all(opening);

    const ready = async (name: string): Promise<boolean> => {
      const path = PROCESSES.includes(name) ? 'readyz' : 'healthz';
      const answer = await fetch(`${stack.plan.url(name)}/${path}`, {
        signal: AbortSignal.timeout(1_000),
      }).catch(() => undefined);
      await answer?.arrayBuffer();
      return answer?.status === 200;
    };
    const untilReady = async (names: readonly string[]): Promise<void> => {
      for (const name of names) {
        const isReady = async () => ((await ready(name)) ? true : undefined);
        const managed = stack.processes.running().find((each) => each.name === name);
        if (!managed) throw new StackError('PROCESS_EXITED', `${name} ended at its start.`);
        await waitUntil(name, isReady, { timeoutMs: READY_MS, process: managed });
      }
    };
    await untilReady(PROCESSES);
    await loadOrganisation(stack);
    await untilReady(TOOLS);
    cleanup.use(watchLag(note));
    return {
      stack,
      dev: describe(stack),
      note,
      get historyFiles() {
        return [...files.values()];
      },
      line(program, server) {
        const found = lines.get(`${program} ${server}`);
        if (!found) throw new RangeError(`${program} has no line to ${server}`);
        return found;
      },
      tap(program, tap) {
        if (tap) taps.set(`${program} postgres`, tap);
        else taps.delete(`${program} postgres`);
      },
      clock: (program, offsetMs) => writeFileSync(clockFile(program), String(offsetMs)),
      async kill(name) {
        const managed = stack.process(name);
        managed.signal('SIGKILL');
        await managed.exited;
      },
      signal: (name, signal) => stack.process(name).signal(signal),
      start: (name) => stack.start(name),
      ready,
      [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
    };
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }
}

function preload(file: string): string {
  const url = pathToFileURL(join(import.meta.dirname, file)).href;
  return `--disable-warning=ExperimentalWarning --import=${url}`;
}

/** Notes when this process could not run: what it sees, it then sees late. */
function watchLag(note: World['note']): Disposable {
  let last = monotonicMs();
  const timer = setInterval(() => {
    const now = monotonicMs();
    const ms = now - last - LAG_EVERY_MS;
    last = now;
    if (ms > LAG_COUNTS_MS) note({ kind: 'lag', who: 'harness', ms: Math.round(ms) });
  }, LAG_EVERY_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
