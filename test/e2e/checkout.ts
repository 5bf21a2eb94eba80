import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { repositoryRoot } from '@remit/stack';

/** How a run of the bootstrap ended, and what it said where. */
export type Ended = { code: number | null; stdout: string; stderr: string };

/**
 * A checkout with the real bootstrap (`scripts/`), a demo of the test's own and a pnpm of the test's
 * own, so that what the bootstrap does is seen without installing anything.
 */
export type Checkout = Disposable & {
  readonly dir: string;
  write(file: string, content: string): void;
  read(file: string): string;
  /** Starts `node scripts/run.mjs …`, or another command with that appended. */
  start(args: string[], options?: { env?: NodeJS.ProcessEnv; through?: string[] }): ChildProcess;
  run(args: string[], options?: { env?: NodeJS.ProcessEnv }): Promise<Ended>;
};

export function makeCheckout(files: { demo: string; pnpm: string }): Checkout {
  const dir = mkdtempSync(join(tmpdir(), 'remit-checkout-'));
  const write = (file: string, content: string): void => {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), content);
  };
  const tools = join(repositoryRoot, 'scripts', 'tools');
  cpSync(join(repositoryRoot, 'scripts', 'run.mjs'), join(dir, 'scripts', 'run.mjs'));
  for (const file of ['bootstrap.mjs', 'package.json', 'package-lock.json']) {
    cpSync(join(tools, file), join(dir, 'scripts', 'tools', file));
  }
  const pinned = JSON.parse(readFileSync(join(tools, 'package.json'), 'utf8')) as {
    dependencies: { pnpm: string };
  };
  write(
    'scripts/tools/node_modules/pnpm/package.json',
    JSON.stringify({ name: 'pnpm', version: pinned.dependencies.pnpm }),
  );
  write('scripts/tools/node_modules/pnpm/bin/pnpm.cjs', files.pnpm);
  write('demo/story.ts', files.demo);
  write('package.json', '{ "type": "module" }');
  write('pnpm-lock.yaml', 'lockfileVersion: 9');
  mkdirSync(join(dir, 'node_modules'));

  const start: Checkout['start'] = (args, { env, through = [] } = {}) => {
    const [command = '', ...rest] = [
      ...through,
      process.execPath,
      join(dir, 'scripts', 'run.mjs'),
      ...args,
    ];
    return spawn(command, rest, { cwd: dir, env: { ...process.env, ...env } });
  };
  return {
    dir,
    write,
    read: (file) => readFileSync(join(dir, file), 'utf8'),
    start,
    run: (args, options) => ended(start(args, options)),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** Collects what a process says until it has ended. */
export function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
