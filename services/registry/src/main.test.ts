import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testConfig } from './test/fixture.ts';

const program = join(import.meta.dirname, 'main.ts');
let infra: TestInfra;
let env: Record<string, string>;

beforeAll(async () => {
  infra = await testInfra({ services: ['registry'] });
  const config = testConfig(infra);
  env = {
    PATH: process.env['PATH'] ?? '',
    REMIT_PUBLIC_URL: config.publicUrl,
    REMIT_DATABASE_URL: config.databaseUrl,
    REMIT_NATS_URL: config.natsUrl,
    REMIT_NATS_SEED_FILE: infra.creds('registry').seedFile,
    REMIT_TRUST_FILE: config.trustFile,
    REMIT_SPOOL_DIR: config.spoolDir,
    REMIT_INSECURE_DATABASE: 'true',
    REMIT_BUS_SIGNER_FILE: config.busSignerFile,
    REMIT_ENVELOPE_SIGNER_FILE: config.envelopeSignerFile,
  };
});
afterAll(() => infra?.[Symbol.asyncDispose]());

type Done = { code: number | null; stdout: string; stderr: string };

/** Runs main.ts; `onLine` sees each line of its log and may send a signal. */
function run(
  args: string[],
  environment: Record<string, string>,
  onLine: (line: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Done> {
  const child = spawn(process.execPath, [program, ...args], { env: environment });
  const done: Done = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    done.stdout += chunk.toString();
    for (const line of chunk.toString().split('\n')) onLine(line, (signal) => child.kill(signal));
  });
  child.stderr.on('data', (chunk: Buffer) => {
    done.stderr += chunk.toString();
  });
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ ...done, code }));
  });
}

describe('the process', () => {
  it('checks its configuration and prints it without secrets', async () => {
    const { code, stdout } = await run(['--check'], env);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      REMIT_PUBLIC_URL: 'https://registry.test',
      REMIT_DATABASE_URL: '[redacted]',
      REMIT_NATS_SEED: '[redacted]',
    });
    expect(stdout).not.toContain(infra.creds('registry').seed.trim());
  });

  it('says what is wrong with its configuration and ends with 78', async () => {
    const { code, stderr, stdout } = await run(['--check'], {
      ...env,
      REMIT_HTTP_PORT: 'x',
      REMIT_SPOOL_DIR: '',
    });
    expect(code).toBe(78);
    expect(stdout).toBe('');
    expect(stderr).toContain('REMIT_HTTP_PORT must be an integer from 0 to 65535, not "x".');
    expect(stderr).toContain('REMIT_SPOOL_DIR is missing.');
  });

  it('starts, and ends in order on SIGTERM with 0', async () => {
    const { code, stdout } = await run([], env, (line, kill) => {
      if (line.includes('registry is started')) kill('SIGTERM');
    });
    expect(stdout).toContain('"msg":"stopping"');
    expect(stdout).not.toContain('did not stop');
    expect(code).toBe(0);
  });

  it('refuses a signer whose key nobody believes', async () => {
    const wrong = { ...env, REMIT_BUS_SIGNER_FILE: infra.keys.signerFile('pdp-bus') };
    const { code, stdout } = await run([], wrong);
    expect(code).toBe(1);
    expect(stdout).toContain('is not in the trust file');
  });

  // Red without watchParent: npm that is sent SIGTERM dies alone, and this would live on.
  it('ends when the process that started it is gone', async () => {
    const middle = `
      const { spawn } = require('node:child_process');
      const child = spawn(process.execPath, [${JSON.stringify(program)}], { stdio: ['ignore', 'pipe', 'inherit'] });
      child.stdout.on('data', (chunk) => {
        process.stderr.write(chunk);
        if (String(chunk).includes('registry is started')) process.exit(0);
      });`;
    const parent = spawn(process.execPath, ['-e', middle], {
      env: { ...env, REMIT_PARENT_WATCH: '1' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    parent.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    // Both hold the pipe open; it ends when the service itself has ended.
    await new Promise((resolve) => parent.stderr.on('end', resolve));
    expect(text).toContain('registry is started');
  });
});
