import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { RecorderError } from './error.ts';

const held = new Set<string>();

/**
 * Claims a spool folder for this process: another one would publish and delete what is still being
 * written. A claim whose process is gone is taken over. Throws RecorderError `SPOOL_IN_USE`.
 * Two machines that share a folder are not told apart from one that was restarted under another name:
 * a spool folder belongs to one process.
 */
export function lockSpool(folder: string): { release(): void } {
  const dir = realpathSync(folder);
  const file = join(dir, 'lock');
  const mine = { pid: process.pid, started: startOf(process.pid), host: hostname() };
  if (held.has(dir) || ownerLives(file)) {
    throw new RecorderError('SPOOL_IN_USE', 'another process writes to this spool', {
      details: { dir },
    });
  }
  writeFileSync(file, JSON.stringify(mine), { mode: 0o600 });
  held.add(dir);
  return {
    release() {
      held.delete(dir);
      rmSync(file, { force: true });
    },
  };
}

function ownerLives(file: string): boolean {
  if (!existsSync(file)) return false;
  let owner: { pid?: unknown; started?: unknown; host?: unknown };
  try {
    owner = JSON.parse(readFileSync(file, 'utf8')) as typeof owner;
  } catch {
    return false;
  }
  const { pid, started, host } = owner;
  if (typeof pid !== 'number' || host !== hostname() || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  // The same number may belong to another process by now.
  return started === startOf(pid);
}

/** When a process started, in ticks since boot; empty where there is no procfs. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
