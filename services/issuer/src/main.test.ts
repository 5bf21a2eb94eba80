import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { testInfra } from '@remit/testkit';
import { describe, expect, it } from 'vitest';

const MAIN = join(import.meta.dirname, 'main.ts');

function run(env: Record<string, string>, ...args: string[]): ChildProcess {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function output(child: ChildProcess): Promise<{ code: unknown; text: string }> {
  let text = '';
  child.stdout?.on('data', (chunk) => (text += chunk));
  child.stderr?.on('data', (chunk) => (text += chunk));
  const [code] = await once(child, 'close');
  return { code, text };
}

describe('the process', () => {
  it('says what its configuration lacks and ends with 78', async () => {
    const { code, text } = await output(run({}));
    expect(code).toBe(78);
    expect(text).toContain('REMIT_TOKEN_KEYS_FILE is missing.');
  });

  it('shows its configuration without secrets, starts, reads its keys again and stops', async () => {
    await using infra = await testInfra({ services: ['issuer'] });
    const env = {
      REMIT_PUBLIC_URL: 'http://issuer.test',
      REMIT_DATABASE_URL: infra.databaseUrl('issuer'),
      REMIT_NATS_URL: infra.natsUrl,
      REMIT_NATS_SEED_FILE: infra.creds('issuer').seedFile,
      REMIT_TRUST_FILE: infra.trustFile,
      REMIT_SPOOL_DIR: join(infra.tmpDir, 'spool'),
      REMIT_TOKEN_KEYS_FILE: infra.keys.tokenKeysFile,
      REMIT_INSECURE_DATABASE: 'true',
    };
    const shown = await output(run(env, '--check'));
    expect(shown.code).toBe(0);
    expect(shown.text).toContain('"REMIT_DATABASE_URL": "[redacted]"');
    expect(shown.text).not.toContain(infra.creds('issuer').seed.trim());

    const child = run(env);
    const lines: string[] = [];
    const closed = once(child, 'close');
    if (!child.stdout) throw new Error('no output');
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (line.includes('issuer is started')) child.kill('SIGHUP');
      if (line.includes('keys are read again')) child.kill('SIGTERM');
    }
    const [code] = await closed;
    expect({ code, last: lines.at(-1) }).toMatchObject({ code: 0 });
  });
});
