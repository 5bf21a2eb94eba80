import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startTimeOf, sweep, writePidFile } from './pid-files.ts';
import { createSupervisor, type ProcessSpec } from './supervisor.ts';
import { waitUntil } from './wait.ts';

let dir: string;
const strays: number[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'remit-supervisor-'));
});
afterEach(async () => {
  for (const pid of strays.splice(0)) {
    if (alive(pid)) process.kill(pid, 'SIGKILL');
  }
  await rm(dir, { recursive: true, force: true });
});

const node = (script: string, more: Partial<ProcessSpec> = {}): ProcessSpec => ({
  name: 'one',
  command: process.execPath,
  args: ['-e', script],
  logFile: join(dir, 'one.log'),
  ...more,
});
const FOR_EVER = 'console.log("up"); setInterval(() => {}, 1000)';

const alive = (pid: number): boolean => startTimeOf(pid) !== undefined;
const gone = (pid: number) => expect.poll(() => alive(pid), { timeout: 5000 }).toBe(false);
const supervise = () => createSupervisor({ runDir: join(dir, 'run') });

describe('a supervisor', () => {
  test('stops a process by its signal, and forgets its pid file and its folders', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'remit-folder-'));
    const supervisor = supervise();
    const one = supervisor.start(node(FOR_EVER, { folders: [folder] }));
    await waitUntil('the start', () => (one.logTail() === '' ? undefined : true), {
      timeoutMs: 5000,
    });
    expect(readdirSync(join(dir, 'run'))).toEqual([`${process.pid}-one.json`]);
    await one.stop();
    expect(one.exit).toEqual({ code: null, signal: 'SIGTERM' });
    expect(alive(one.pid)).toBe(false);
    expect(readdirSync(join(dir, 'run'))).toEqual([]);
    expect(existsSync(folder)).toBe(false);
    expect(supervisor.running()).toEqual([]);
  });

  test('kills what ignores its signal, and what that has started', async () => {
    const stubborn = `process.on('SIGTERM', () => {});
      const c = require('child_process').spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)']);
      console.log(c.pid); setInterval(() => {}, 1000)`;
    const one = supervise().start(node(stubborn, { stopTimeoutMs: 100 }));
    const grandchild = await waitUntil('the start', () => Number(one.logTail()) || undefined, {
      timeoutMs: 5000,
    });
    strays.push(grandchild);
    await one.stop();
    expect(one.exit).toEqual({ code: null, signal: 'SIGKILL' });
    await gone(grandchild);
  });

  test('stops higher tiers before lower ones', async () => {
    const supervisor = supervise();
    const order: string[] = [];
    for (const [name, tier] of Object.entries({ server: 0, service: 1, extra: 2 })) {
      const started = supervisor.start(node(FOR_EVER, { name, tier }));
      void started.exited.then(() => order.push(name));
    }
    await supervisor.stopAll();
    expect(order).toEqual(['extra', 'service', 'server']);
  });

  test('says when a process ends that nobody asked to', async () => {
    const supervisor = supervise();
    const ended: string[] = [];
    supervisor.onUnexpectedExit((process) => ended.push(`${process.name} ${process.exit?.code}`));
    await supervisor.start(node('process.exit(3)')).exited;
    await supervisor.start(node(FOR_EVER, { name: 'asked' })).stop();
    expect(ended).toEqual(['one 3']);
  });

  test('waiting for a process that has ended fails at once, with the end of its log', async () => {
    const one = supervise().start(node('console.error("no such thing"); process.exit(3)'));
    const waiting = waitUntil('one', () => undefined, { timeoutMs: 10_000, process: one });
    await expect(waiting).rejects.toMatchObject({ code: 'PROCESS_EXITED' });
    await expect(waiting).rejects.toThrow(/^one ended with 3; its log is .*no such thing$/s);
  });
});

describe('the end of the one who owns', () => {
  const own = async (command: string, args: string[]): Promise<[ChildProcess, Pids]> => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const pids = JSON.parse(line.toString()) as Pids;
    strays.push(pids.owner, pids.owned);
    return [child, pids];
  };
  type Pids = { owner: number; owned: number };
  const owner = () => [
    join(import.meta.dirname, 'fixture', 'owner.ts'),
    join(dir, 'run'),
    join(dir, 'owned.log'),
  ];

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('by %s ends what it owns, with exit code %i', async (signal, exitCode) => {
    const [child, pids] = await own(process.execPath, owner());
    child.kill(signal);
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).toBe(exitCode);
    expect(alive(pids.owned)).toBe(false);
  });

  test('by the end of its own parent, as when npm is killed', async () => {
    const script = `require('child_process').spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit' }); setInterval(() => {}, 1000)`;
    const [parent, pids] = await own(process.execPath, ['-e', script, ...owner()]);
    parent.kill('SIGKILL');
    await gone(pids.owner);
    await gone(pids.owned);
  });

  // Goes red without the death signal in `withDeathSignal`; elsewhere than on Linux it is the sweep.
  test.runIf(process.platform === 'linux')('by SIGKILL ends what it owns', async () => {
    const [child, pids] = await own(process.execPath, owner());
    child.kill('SIGKILL');
    await gone(pids.owned);
  });
});

describe('the sweep', () => {
  const stray = async (): Promise<number> => {
    const child = spawn(process.execPath, ['-e', FOR_EVER], { detached: true, stdio: 'ignore' });
    strays.push(child.pid as number);
    await once(child, 'spawn');
    return child.pid as number;
  };
  const record = (file: string, pid: number, change: Record<string, unknown> = {}): void => {
    const content = {
      name: file,
      pid,
      startedAt: startTimeOf(pid),
      supervisor: { pid: 999_999_999, startedAt: '1' },
      folders: [],
      ...change,
    };
    writeFileSync(join(dir, `${file}.json`), JSON.stringify(content));
  };

  test('ends what a killed supervisor left, and removes its temporary folders', async () => {
    const pid = await stray();
    const folder = mkdtempSync(join(tmpdir(), 'remit-folder-'));
    record('left', pid, { folders: [folder] });
    expect(await sweep(dir)).toEqual(['left']);
    expect(alive(pid)).toBe(false);
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('leaves a process alone that only has the number of one that was left', async () => {
    const pid = await stray();
    record('reused', pid, { startedAt: '1' });
    expect(await sweep(dir)).toEqual([]);
    expect(alive(pid)).toBe(true);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('leaves the processes of a supervisor alone that lives', async () => {
    const pid = await stray();
    const forget = writePidFile(dir, { name: 'running', pid });
    expect(await sweep(dir)).toEqual([]);
    expect(alive(pid)).toBe(true);
    forget();
    expect(readdirSync(dir)).toEqual([]);
  });

  test('never removes a folder that is not a temporary one of ours', async () => {
    const kept = mkdtempSync(join(tmpdir(), 'other-'));
    const spelled = join(tmpdir(), 'remit-x') + `/../${basename(kept)}`;
    record('forged', 999_999_998, { startedAt: '', folders: [kept, spelled] });
    expect(await sweep(dir)).toEqual([]);
    expect(existsSync(kept)).toBe(true);
    await rm(kept, { recursive: true });
  });

  test('finds nothing where there is no folder', async () => {
    expect(await sweep(join(dir, 'absent'))).toEqual([]);
  });
});
