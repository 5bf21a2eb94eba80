import { execFile, spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { signInAs } from '@remit/cli';
import { repositoryRoot } from '@remit/stack';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DemoStack, startDemoStack } from '../../demo/stack.ts';

// README.md's examples as somebody else would run them: from tarballs, in a project of their own.

const run = promisify(execFile);
const project = mkdtempSync(join(tmpdir(), 'remit-packed-'));
let demo: DemoStack;

/** The code block of README.md whose first line names the file. */
function example(file: string): string {
  const readme = readFileSync(join(repositoryRoot, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
  const found = blocks.find((code) => code.startsWith(`// ${file}\n`));
  if (!found) throw new Error(`README.md has no ${file}`);
  return found;
}

async function install(): Promise<void> {
  const pack = join(repositoryRoot, 'scripts/tools/pack.mjs');
  await run(process.execPath, [pack, project]);
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const tarballs = globSync('*.tgz', { cwd: project }).map((name) => `./${name}`);
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...quiet, ...tarballs, 'fastify@5'], { cwd: project });
  for (const file of ['tool.js', 'agent.js']) writeFileSync(join(project, file), example(file));
}

/** Everything that the examples read from the environment. */
async function settings(): Promise<NodeJS.ProcessEnv> {
  const { dev, stack } = demo;
  return {
    PATH: process.env['PATH'],
    TOOL_URL: dev.erp_audience,
    TRUST_FILE: dev.trust_file,
    NATS_URL: dev.nats.url,
    NATS_SEED_FILE: stack.bus.pepSeedFile('acme', 'erp-1'),
    ISSUER: dev.issuer,
    KEY_FILE: stack.keys.agentFile('procurement-agent'),
    ID_TOKEN: (await signInAs(dev, 'alice')).idToken,
  };
}

beforeAll(async () => {
  [demo] = await Promise.all([
    startDemoStack({ ports: 'free', without: ['erp'], onProgress: () => undefined }),
    install(),
  ]);
}, 120_000);
afterAll(async () => {
  await demo?.stopAll();
  rmSync(project, { recursive: true, force: true });
});

test('the tool and the agent of README.md work together from packed packages', async () => {
  const env = await settings();
  const tool = spawn(process.execPath, ['tool.js'], {
    cwd: project,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  try {
    const anonymous = () =>
      fetch(`${demo.dev.erp_audience}/suppliers/S-100`).then(
        ({ status }) => status,
        () => undefined,
      );
    await expect.poll(anonymous, { timeout: 20_000, interval: 100 }).toBe(401);
    const { stdout } = await run(process.execPath, ['agent.js'], { cwd: project, env });
    expect(stdout).toBe("200 { id: 'S-100', readFor: 'alice' }\n");
  } finally {
    tool.kill('SIGKILL');
  }
}, 60_000);

test('the packed types are whole, and say what is wrong', async () => {
  const tsc = join(repositoryRoot, 'node_modules/typescript/bin/tsc');
  writeFileSync(
    join(project, 'types.mts'),
    `import { createAgent } from '@remit/agent';
import { createPep } from '@remit/pep';
import { remit } from '@remit/pep/fastify';
export const use = [createAgent, createPep, remit];
// @ts-expect-error -- a token is a text
export const token: number = (await createAgent({ issuer: '', clientId: '', key: {} }).startTask({ idToken: '', taskType: '', resource: '' })).token;
`,
  );
  const types = ['--typeRoots', join(repositoryRoot, 'node_modules/@types'), '--types', 'node'];
  const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024'];
  const checked = run(process.execPath, [tsc, ...strict, ...types, 'types.mts'], { cwd: project });
  await expect(checked).resolves.toMatchObject({ stdout: '' });
}, 60_000);
