import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** What is needed to end, later and from another process, what a killed supervisor left. */
type PidRecord = {
  name: string;
  pid: number;
  startedAt: string;
  supervisor: { pid: number; startedAt: string };
  /** Temporary folders that belong to this process alone. */
  folders: string[];
};

/**
 * When a process started, in a form that only says "the same" or "another": a pid alone may have been
 * given to a stranger since. Undefined when there is no such process.
 */
export function startTimeOf(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? undefined : fields[19];
    }
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
    return started.trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Writes down a started process; returns how to forget it. */
export function writePidFile(
  runDir: string,
  entry: { name: string; pid: number; folders?: readonly string[] },
): () => void {
  // Its parents keep the usual mode: PostgreSQL's data may lie beside it, and runs as another user.
  mkdirSync(dirname(runDir), { recursive: true });
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  const file = join(runDir, `${process.pid}-${entry.name}.json`);
  const record: PidRecord = {
    name: entry.name,
    pid: entry.pid,
    startedAt: startTimeOf(entry.pid) ?? '',
    supervisor: { pid: process.pid, startedAt: startTimeOf(process.pid) ?? '' },
    folders: [...(entry.folders ?? [])],
  };
  writeFileSync(file, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

/**
 * Ends what a killed supervisor left: every recorded process that is still the one recorded and whose
 * supervisor is gone gets SIGTERM (its whole group), then SIGKILL after `graceMs` (default 5,000).
 * Its temporary folders are removed. Processes of a supervisor that lives are left alone.
 * Returns the names of the processes that were ended.
 */
export async function sweep(runDir: string, graceMs = 5000): Promise<string[]> {
  let files: string[];
  try {
    files = readdirSync(runDir).filter((file) => file.endsWith('.json'));
  } catch {
    return [];
  }
  const ended = await Promise.all(files.map((file) => sweepOne(join(runDir, file), graceMs)));
  return ended.filter((name) => name !== undefined).toSorted();
}

async function sweepOne(file: string, graceMs: number): Promise<string | undefined> {
  const record = readRecord(file);
  if (record !== undefined && isSame(record.supervisor)) return undefined;
  let name: string | undefined;
  if (record !== undefined && isSame(record)) {
    name = record.name;
    signalGroup(record.pid, 'SIGTERM');
    const deadline = performance.now() + graceMs;
    while (isSame(record) && performance.now() < deadline) await pause(20);
    if (isSame(record)) signalGroup(record.pid, 'SIGKILL');
    while (isSame(record)) await pause(20);
  }
  for (const folder of record?.folders ?? []) removeTemporary(folder);
  rmSync(file, { force: true });
  return name;
}

/** Sends a signal to a process group; a group that is gone is fine. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: gone already
  }
}

/** Removes a folder only when it is one of ours below the system's temporary folder. */
export function removeTemporary(folder: string): void {
  if (!resolve(folder).startsWith(join(tmpdir(), 'remit-'))) return;
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

function isSame(recorded: { pid: number; startedAt: string }): boolean {
  return recorded.startedAt !== '' && startTimeOf(recorded.pid) === recorded.startedAt;
}

function readRecord(file: string): PidRecord | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as PidRecord;
  } catch {
    return undefined;
  }
}
