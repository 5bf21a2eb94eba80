import { mkdirSync, mkdtempSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StackError } from '../error.ts';
import type { ManagedProcess, Supervisor } from '../process/supervisor.ts';
import { waitUntil } from '../process/wait.ts';

const READY_TIMEOUT_MS = 10_000;

export type RunningNats = {
  readonly url: string;
  readonly port: number;
  readonly process: ManagedProcess;
  /**
   * Makes it read its configuration again and waits until it has; connections stay. Twice: of an
   * account that a reload adds, nats-server 2.15 links what it imports at the next reload only.
   * Throws StackError `CONFIG_INVALID` when it refuses the new one and keeps the old.
   */
  reload(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Starts a nats-server on 127.0.0.1 with the given configuration file and waits until it listens.
 * `port` undefined lets the server choose. `storeDir` undefined keeps JetStream in a temporary folder
 * that goes with the server.
 * Throws StackError `PROCESS_EXITED` or `NOT_READY` with the end of its log.
 */
export async function startNats(options: {
  supervisor: Supervisor;
  binary: string;
  configFile: string;
  logFile: string;
  storeDir?: string;
  port?: number;
  name?: string;
}): Promise<RunningNats> {
  const temporary = mkdtempSync(join(tmpdir(), 'remit-nats-'));
  const storeDir = options.storeDir ?? join(temporary, 'jetstream');
  mkdirSync(storeDir, { recursive: true, mode: 0o700 });
  const process = options.supervisor.start({
    name: options.name ?? 'nats',
    command: options.binary,
    args: [
      ...['--config', options.configFile, '--store_dir', storeDir],
      ...['--addr', '127.0.0.1', '--port', String(options.port ?? -1)],
      ...['--ports_file_dir', temporary],
    ],
    logFile: options.logFile,
    folders: [temporary],
  });
  const port = await waitUntil('nats-server', () => readPortsFile(temporary), {
    timeoutMs: READY_TIMEOUT_MS,
    process,
  });
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    process,
    async reload() {
      await reload(process);
      await reload(process);
    },
    stop: () => process.stop(),
  };
}

async function reload(process: ManagedProcess): Promise<void> {
  const before = (await readFile(process.logFile, 'utf8')).length;
  process.signal('SIGHUP');
  const said = await waitUntil(
    'the new configuration of nats-server',
    async () => {
      const log = (await readFile(process.logFile, 'utf8')).slice(before);
      return /(Reloaded server configuration|Failed to reload).*/.exec(log)?.[0];
    },
    { timeoutMs: READY_TIMEOUT_MS, process },
  );
  if (said.startsWith('Failed')) {
    throw new StackError('CONFIG_INVALID', `nats-server refused its new configuration: ${said}`);
  }
}

async function readPortsFile(dir: string): Promise<number | undefined> {
  const file = (await readdir(dir)).find((name) => name.endsWith('.ports'));
  if (file === undefined) return undefined;
  const ports = JSON.parse(await readFile(join(dir, file), 'utf8')) as { nats?: string[] };
  const url = ports.nats?.[0];
  return url === undefined ? undefined : Number(new URL(url).port);
}
