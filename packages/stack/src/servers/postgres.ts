import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { postgresHome } from '../binaries/postgres-binaries.ts';
import { StackError } from '../error.ts';
import { freePort } from '../net/ports.ts';
import { removeTemporary } from '../process/pid-files.ts';
import type { ManagedProcess, Supervisor } from '../process/supervisor.ts';
import { waitUntil } from '../process/wait.ts';

const run = promisify(execFile);
const READY_TIMEOUT_MS = 30_000;
/** PostgreSQL refuses root; this user exists everywhere and owns nothing. */
const NOBODY = 65_534;

/** What makes commits survive a crash of the machine, switched off: for tests, where nothing is kept. */
const UNSAFE_FOR_TESTS = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];

export type RunningPostgres = {
  readonly port: number;
  readonly process: ManagedProcess;
  /** Connection URL of the superuser for a database; a secret. */
  superuserUrl(database?: string): string;
  stop(): Promise<void>;
};

export type StartPostgresOptions = {
  supervisor: Supervisor;
  logFile: string;
  /** Kept over restarts. Undefined: a temporary one that goes with the server. */
  dataDir?: string;
  port?: number;
  /** `full`: as PostgreSQL comes, a commit survives. `unsafe-for-tests`: faster, loses data in a crash. */
  durability: 'full' | 'unsafe-for-tests';
  maxConnections?: number;
};

/**
 * Starts a PostgreSQL of its own on 127.0.0.1, without a Unix socket, with SCRAM passwords for everyone.
 * As root it runs as `nobody`; nothing on the system is changed. The superuser's password is random and
 * lies in a 0600 file beside the data.
 * Throws StackError `BINARY_UNAVAILABLE`, `DISK_FULL`, `PROCESS_EXITED` or `NOT_READY`.
 */
export async function startPostgres(options: StartPostgresOptions): Promise<RunningPostgres> {
  // A port that was free may be taken by the time of the start: then another one is asked for.
  for (let attempt = 1; ; attempt++) {
    const temporary = mkdtempSync(join(tmpdir(), 'remit-pg-'));
    const port = options.port ?? (await freePort());
    try {
      return await startOnce(options, port, temporary);
    } catch (error) {
      removeTemporary(temporary);
      const said = String(error);
      if (/No space left on device|ENOSPC/.test(said)) {
        throw new StackError(
          'DISK_FULL',
          'the disk is full: PostgreSQL needs about 100 MB below the temporary folder or .remit; free some and run the command again.',
          { cause: error },
        );
      }
      const taken = /Address already in use/.test(said);
      if (!taken || options.port !== undefined || attempt === 3) throw error;
    }
  }
}

async function startOnce(
  options: StartPostgresOptions,
  port: number,
  temporary: string,
): Promise<RunningPostgres> {
  chmodSync(temporary, 0o755);
  const user: Identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const home = runnableHome(temporary, user);
  const { dataDir, password } = await ensureCluster(options.dataDir ?? temporary, home, user);
  const managed = launch(options, { home, dataDir, port, user, folders: [temporary] });
  const superuserUrl = (database = 'postgres'): string =>
    `postgres://postgres:${password}@127.0.0.1:${port}/${database}`;
  try {
    await waitUntil('PostgreSQL', () => answers(superuserUrl()), {
      timeoutMs: READY_TIMEOUT_MS,
      process: managed,
    });
  } catch (error) {
    await managed.stop();
    throw error;
  }
  return { port, process: managed, superuserUrl, stop: () => managed.stop() };
}

type Identity = { uid?: number; gid?: number };

function launch(
  options: StartPostgresOptions,
  server: { home: string; dataDir: string; port: number; user: Identity; folders: string[] },
): ManagedProcess {
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    `max_connections=${options.maxConnections ?? 120}`,
    'log_min_messages=warning',
    ...(options.durability === 'full' ? [] : UNSAFE_FOR_TESTS),
  ];
  return options.supervisor.start({
    name: 'postgres',
    command: join(server.home, 'bin', 'postgres'),
    args: [
      ...['-D', server.dataDir, '-p', String(server.port)],
      ...settings.flatMap((setting) => ['-c', setting]),
    ],
    cwd: server.dataDir,
    env: environment(),
    logFile: options.logFile,
    // SIGINT is PostgreSQL's fast shutdown: sessions end, nothing committed is lost.
    stopSignal: 'SIGINT',
    folders: server.folders,
    ...server.user,
  });
}

/** The package's own folder, or a copy where `nobody` can reach it (a checkout below /root). */
function runnableHome(temporary: string, user: Identity): string {
  const home = postgresHome();
  if (user.uid === undefined || reachableByOthers(join(home, 'bin'))) return home;
  const copy = join(temporary, 'native');
  cpSync(home, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}

/** Whether every folder on the way lets others pass. */
export function reachableByOthers(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if (existsSync(at) && (statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

async function ensureCluster(
  base: string,
  home: string,
  user: Identity,
): Promise<{ dataDir: string; password: string }> {
  const dataDir = join(base, 'data');
  const passwordFile = join(base, 'superuser-password');
  if (existsSync(join(dataDir, 'PG_VERSION')) && existsSync(passwordFile)) {
    accessSync(dataDir, constants.F_OK);
    return { dataDir, password: readFileSync(passwordFile, 'utf8') };
  }
  rmSync(dataDir, { recursive: true, force: true });
  mkdirSync(base, { recursive: true, mode: 0o755 });
  mkdirSync(dataDir, { mode: 0o700 });
  const password = randomBytes(24).toString('base64url');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (user.uid !== undefined && user.gid !== undefined) {
    chownSync(dataDir, user.uid, user.gid);
    chownSync(passwordFile, user.uid, user.gid);
  }
  await run(
    join(home, 'bin', 'initdb'),
    [
      ...['-D', dataDir, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', passwordFile],
      ...['--encoding=UTF8', '--locale=C', '--no-sync'],
    ],
    { ...user, cwd: dataDir, env: environment() },
  );
  return { dataDir, password };
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' };
}

async function answers(connectionString: string): Promise<true> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2000 });
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } finally {
    await client.end().catch(() => {});
  }
}
