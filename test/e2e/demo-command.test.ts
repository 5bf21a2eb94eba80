import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@remit/stack';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { flat, readTranscript, storyOf } from '../conformance/transcript.ts';
import { ended } from './checkout.ts';

// The demo as a stranger starts it. All that belongs to a run has its temporary folder in its command
// line or environment, so what is left behind is found from outside.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remit-demo-command-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Processes of this run, as `pid command`. */
function left(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const command = readProc(pid, 'cmdline');
      const belongs = command.includes(folder) || readProc(pid, 'environ').includes(folder);
      return belongs ? [`${pid} ${command.replaceAll('\0', ' ')}`] : [];
    });
}
function readProc(pid: string, what: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, 'utf8');
  } catch {
    return '';
  }
}
const nothingLeft = async (): Promise<void> => {
  await expect.poll(left, { timeout: 20_000, interval: 100 }).toEqual([]);
  expect(readdirSync(folder).filter((name) => name.startsWith('remit-'))).toEqual([]);
};

function demo(through: string[] = []): ChildProcess {
  const [command, ...args] = [...through, 'npm', 'run', '-s', 'demo', '--', '--json'];
  return spawn(command, args, { cwd: repositoryRoot, env: { ...process.env, TMPDIR: folder } });
}

/** Resolves when the demo says that its servers are up and its services are being started. */
function servicesAreStarting(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const listen = (chunk: Buffer): void => {
      said += chunk.toString();
      if (said.includes('roles, schemas and migrations')) resolve();
    };
    child.stdout?.on('data', listen);
    child.stderr?.on('data', listen);
    child.on('close', () => reject(new Error(said)));
  });
}

describe.runIf(process.platform === 'linux')('npm run demo', { timeout: 120_000 }, () => {
  test('tells the story, answers with one JSON object, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await ended(demo());
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(code).toBe(0);
    expect(stdout.trimEnd()).not.toContain('\n');
    expect(report).toMatchObject({ ok: true, audit: { verified: true } });
    expect(Object.keys(report).toSorted()).toEqual(['audit', 'ok', 'revocation', 'steps']);
    // What README.md shows is what is printed. `node test/conformance/write-transcript.ts` writes it.
    expect(flat(storyOf(stderr))).toBe(flat(readTranscript(repositoryRoot)));
    const steps = report['steps'] as Record<string, unknown>[];
    expect(steps.map((step) => [step['id'], step['ok']])).toEqual(
      expect.arrayContaining([
        ['alice-summary', true],
        ['wrong-job', true],
        ['revoke-task', true],
        ['one-line', true],
      ]),
    );
    for (const step of steps) {
      expect(Object.keys(step).toSorted()).toEqual([
        ...['actual', 'expected', 'id', 'ms', 'ok', 'reason', 'title'],
      ]);
    }
    await nothingLeft();
  });

  test('SIGTERM to npm, which kills npm alone, leaves nothing behind', async () => {
    const child = demo();
    await servicesAreStarting(child);
    expect(left().length).toBeGreaterThan(3);
    child.kill('SIGTERM');
    await nothingLeft();
  });

  test.runIf(existsSync('/usr/bin/script'))(
    'Ctrl-C in a terminal leaves nothing behind, and says so by its exit code',
    async () => {
      const child = demo(['sh', '-c', 'exec script -qefc "$*" /dev/null', 'sh']);
      const end = ended(child);
      await servicesAreStarting(child);
      child.stdin?.write('\x03');
      expect((await end).code).toBe(130);
      await nothingLeft();
    },
  );
});
