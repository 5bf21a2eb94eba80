import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { variableName } from '@remit/service-kit';
import { testInfra } from '@remit/testkit';
import { expect, test } from 'vitest';
import { processConfig } from './test/process.ts';

const MAIN = join(import.meta.dirname, 'main.ts');

function run(env: Record<string, string>, ...args: string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { text: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.text += chunk.toString()));
  return { child, output };
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return child.exitCode;
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

test('main.ts says what its configuration lacks, checks it, runs, and ends in order on SIGTERM', async () => {
  const { child: bare, output: said } = run({}, '--check');
  expect(await exitCode(bare)).toBe(78);
  expect(said.text).toContain('REMIT_CHECKPOINT_DIR is missing.');

  await using infra = await testInfra({ services: ['audit'] });
  const config = processConfig(infra, { checkpointRecords: 4, checkpointSeconds: 1 });
  const env = Object.fromEntries(
    Object.entries(config).map(([field, value]) => [variableName(field), String(value)]),
  );
  const { child: check, output: checked } = run(env, '--check');
  expect(await exitCode(check)).toBe(0);
  expect(checked.text).toContain('"REMIT_DATABASE_URL": "[redacted]"');
  expect(checked.text).not.toContain(config.natsSeed);

  const { child, output } = run(env);
  await expect.poll(() => output.text, { timeout: 10_000 }).toContain('audit is started');
  child.kill('SIGTERM');
  expect(await exitCode(child)).toBe(0);
  for (const secret of [config.natsSeed, config.databaseUrl]) {
    expect(output.text).not.toContain(secret);
  }
});
