import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from './test/world.ts';

let world: World;
let env: Record<string, string>;

beforeAll(async () => {
  world = await startWorld();
  const { infra } = world;
  const config = infra.serviceConfig('pdp');
  env = {
    PATH: process.env.PATH ?? '',
    REMIT_PUBLIC_URL: config.publicUrl,
    REMIT_DATABASE_URL: config.databaseUrl,
    REMIT_INSECURE_DATABASE: 'true',
    REMIT_NATS_URL: config.natsUrl,
    REMIT_NATS_SEED: config.natsSeed,
    REMIT_TRUST_FILE: config.trustFile,
    REMIT_SPOOL_DIR: join(infra.tmpDir, 'spool', 'pdp-process'),
    REMIT_BUS_SIGNER_FILE: infra.keys.signerFile('pdp-bus'),
  };
});
afterAll(() => world?.[Symbol.asyncDispose]());

function run(program: string, args: string[] = [], more: Record<string, string> = {}) {
  const file = join(import.meta.dirname, program);
  const child: ChildProcess = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', file, ...args],
    { env: { ...env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  let look = (): void => undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      look();
    });
  }
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, output }));
  return {
    ended,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    says: async (text: string): Promise<void> => {
      while (!output.includes(text)) {
        const said = new Promise<void>((resolve) => (look = resolve));
        const over = ended.then(() => {
          throw new Error(`ended without saying ${text}: ${output}`);
        });
        await Promise.race([said, over]);
      }
    },
  };
}

function tenantFolder(name: string, files: Record<string, string>): string {
  const dir = join(world.infra.tmpDir, name);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(dir, 'acme', 'policies', file, '..'), { recursive: true });
    writeFileSync(join(dir, 'acme', 'policies', file), text);
  }
  mkdirSync(join(dir, 'globex', 'users'), { recursive: true });
  return dir;
}

// Processes of their own start slowly on a busy machine.
describe('the process', { timeout: 60_000 }, () => {
  it('prints its configuration redacted, and says what is missing', async () => {
    const checked = await run('main.ts', ['--check']).ended;
    expect(checked.code).toBe(0);
    expect(checked.output).toContain('"REMIT_NATS_SEED": "[redacted]"');
    expect(checked.output).not.toContain(env.REMIT_NATS_SEED);
    const missing = await run('main.ts', ['--check'], { REMIT_BUS_SIGNER_FILE: '' }).ended;
    expect(missing.code).toBe(78);
    expect(missing.output).toContain('REMIT_BUS_SIGNER_FILE is missing');
  });

  it('starts, and ends in order when it is told to', async () => {
    const main = run('main.ts');
    await main.says('pdp is started');
    main.kill('SIGTERM');
    expect((await main.ended).code).toBe(0);
  });
});

describe('the loader', { timeout: 60_000 }, () => {
  const policy = '@id("stop") forbid (principal, action == Action::"suppliers.export", resource);';

  it('makes a folder the active version, once', async () => {
    const dir = tenantFolder('good', {
      'stop.cedar': policy,
      'tests/stop.yaml': `- title: stopped
  request: { agents: [a], user: u, action: suppliers.export, resource: erp/suppliers }
  expect: { decision: deny, reason: policy_forbid }
`,
    });
    const first = await run('load.ts', ['--dir', dir]).ended;
    expect(first).toEqual({ code: 0, output: 'acme: version 1, 1 policies, 1 tests passed\n' });
    const again = await run('load.ts', ['--dir', dir]).ended;
    expect(again).toEqual({
      code: 0,
      output: 'acme: version 1 (unchanged), 1 policies, 1 tests passed\n',
    });
    const { active, versions } = await world.pdp.policies.list('acme');
    expect(versions).toMatchObject([{ number: 1, author: 'load' }]);
    expect(active?.version).toBe(versions[0]?.version);
    // The running pdp sends what the loader wrote.
    expect(await world.recorded(({ event }) => event === 'policy.activated')).toMatchObject({
      producer: { service: 'pdp', instance: 'load' },
    });
  });

  it('says file, line and column of what is wrong, and changes nothing', async () => {
    const before = await world.pdp.policies.list('acme');
    const dir = tenantFolder('bad', { 'a.cedar': `${policy}\nforbid(principal, action, resource` });
    const { code, output } = await run('load.ts', ['--dir', dir]).ended;
    expect(code).toBe(1);
    expect(output).toMatch(/^pdp: the policy set is not acceptable\n {2}a\.cedar:2:\d+ /);
    expect(await world.pdp.policies.list('acme')).toEqual(before);
  });

  it('needs a folder', async () => {
    expect(await run('load.ts').ended).toEqual({
      code: 78,
      output: 'pdp: load needs --dir, a folder with one folder per tenant.\n',
    });
  });
});
