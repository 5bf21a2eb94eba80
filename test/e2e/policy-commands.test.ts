import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '@remit/stack';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DemoStack, startDemoStack } from '../../demo/stack.ts';
import { openWorld, type World } from '../../demo/world.ts';

// The commands as a person types them, against a whole running stack.

let demo: DemoStack;
let world: World;
let dir: string;

beforeAll(async () => {
  demo = await startDemoStack({ ports: 'free', onProgress() {} });
  world = openWorld(demo.dev, { narrate: {} as World['narrate'], line: demo.line });
  dir = mkdtempSync(join(tmpdir(), 'remit-policy-commands-'));
  mkdirSync(join(dir, '.remit'));
  writeFileSync(join(dir, '.remit', 'dev.json'), JSON.stringify(demo.dev), { mode: 0o600 });
});
afterAll(async () => {
  await world?.close();
  await demo?.stopAll();
  rmSync(dir, { recursive: true, force: true });
});

type Ran = { code: number; stdout: string; stderr: string };
function remit(args: string[], env: Record<string, string> = {}): Promise<Ran> {
  const main = join(repositoryRoot, 'packages/cli/src/main.ts');
  const argv = ['--disable-warning=ExperimentalWarning', main, ...args];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      argv,
      { cwd: dir, env: { ...process.env, ...env } },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}
const ok = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await remit(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.trimEnd();
};
const json = async <T>(...args: string[]): Promise<T> =>
  JSON.parse(await ok(...args, '--json')) as T;

/** A folder of guardrails beside the one that the demo begins with. */
function folder(name: string, guardrails: string, tests = ''): string {
  const path = join(dir, name);
  mkdirSync(join(path, 'tests'), { recursive: true });
  writeFileSync(
    join(path, 'acme.cedar'),
    `@id("no-supplier-export")
forbid (principal, action == Action::"suppliers.export", resource);
${guardrails}`,
  );
  if (tests) writeFileSync(join(path, 'tests', 'acme.yaml'), tests);
  return path;
}
const FREEZE = `
@id("frozen-suppliers")
forbid (principal, action == Action::"suppliers.read", resource in Resource::"erp/suppliers");
`;
const FREEZE_TEST = `
- title: nobody reads suppliers
  request: { agents: [procurement-agent], user: alice, action: suppliers.read, resource: erp/suppliers/S-100 }
  expect: { decision: deny, reason: policy_forbid, policies: [frozen-suppliers] }
`;

async function readSupplier(): Promise<{ status: number; decision: string }> {
  const task = await world.agent('procurement-agent').startTask({
    idToken: await world.signIn('alice'),
    taskType: 'supplier-risk-summary',
    slots: { supplier: 'S-100' },
    resource: world.erp.url,
  });
  const answer = await task.fetch(`${world.erp.url}/suppliers/S-100`);
  await answer.body?.cancel();
  return { status: answer.status, decision: answer.headers.get('remit-decision') ?? '' };
}

describe('a change of guardrails', { timeout: 120_000 }, () => {
  test('is tested, pushed, shadowed, replayed, activated, explained and rolled back', async () => {
    const set = folder('change', FREEZE, FREEZE_TEST);
    expect(await ok('policy', 'test', set)).toMatch(/^OK {4}2 policies, 1 test passed \(.{12}\)$/);
    const before = await json<{ active: { version: string; number: number } }>('policy', 'list');
    const pushed = await ok('policy', 'push', set, '-m', 'Freeze suppliers');
    const number = /^Version (\d+) /.exec(pushed)?.[1] as string;
    expect(pushed).toContain(
      `2 policies, 1 test passed. It decides nothing before "remit policy activate ${number}".`,
    );
    expect(await ok('policy', 'list')).toMatch(
      new RegExp(
        `^  +${number}  .{12}  .{20}  dora  Freeze suppliers\\n\\* +${before.active.number}  `,
      ),
    );
    expect(await ok('policy', 'diff', number)).toMatch(
      /: 1 added, 0 removed, 0 changed\n\+ @id\("frozen-suppliers"\)\n\+ forbid/,
    );

    expect(await ok('policy', 'shadow', number)).toContain('never enforced');
    const allowed = await readSupplier();
    expect(allowed.status).toBe(200);
    const shadowed = await expect
      .poll(() => ok('policy', 'shadow'), { timeout: 30_000 })
      .toMatch(/ [1-9]\d* different/)
      .then(() => ok('policy', 'shadow'));
    expect(shadowed).toMatch(/ALLOW → .*procurement-agent {2}token for supplier-risk-summary/);
    expect(await ok('policy', 'shadow', '--off')).toContain('No version is in shadow');

    expect(await ok('explain', allowed.decision)).toMatch(
      /^alice → procurement-agent: suppliers\.read on erp\/suppliers\/S-100 was allowed/,
    );
    const replayed = await ok('policy', 'replay', number, '--since', '1h');
    expect(replayed).toMatch(
      /\d+ the same, 1 would be refused, 0 would be allowed, 0 for another reason/,
    );
    expect(replayed).toContain(
      'would be refused\n  1×  alice → procurement-agent  suppliers.read erp/suppliers/S-100  by frozen-suppliers (task supplier-risk-summary)',
    );

    expect(await ok('policy', 'activate', number)).toMatch(
      new RegExp(
        `^Version ${number} .* decides from now on in place of version ${before.active.number}\\.`,
      ),
    );
    const refused = await readSupplier();
    expect(refused.status).toBe(403);
    expect(await ok('explain', refused.decision)).toMatch(
      /S-100 was refused: The guardrail frozen-suppliers objects\.\n[^]*policies +deny [^]*\n {2}frozen-suppliers \(acme\.cedar\)\n {4}@id\("frozen-suppliers"\)/,
    );
    expect(await ok('policy', 'rollback')).toContain(`Version ${before.active.number} (`);
    expect((await json<typeof before>('policy', 'list')).active).toEqual(before.active);
    expect((await readSupplier()).status).toBe(200);
  });

  test('that is not acceptable is refused with file, line and reason, and exit code 1', async () => {
    const broken = folder(
      'broken',
      '@id("x") forbid (principal, action == Action::"no.such", resource);',
    );
    for (const args of [
      ['policy', 'test', broken],
      ['policy', 'push', broken, '-m', 'm'],
    ]) {
      const { code, stdout, stderr } = await remit(args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(
        /^The pdp refused \(422 POLICY_INVALID\): .*\n {2}acme\.cedar:3:\d+ .*unrecognized action/,
      );
    }
    const failing = folder('failing', FREEZE, FREEZE_TEST.replace('deny', 'allow'));
    expect((await remit(['policy', 'test', failing])).stderr).toContain(
      'tests/acme.yaml:2:1 "nobody reads suppliers": expected allow, got deny',
    );
    const asJson = await remit(['policy', 'test', broken, '--json']);
    expect(JSON.parse(asJson.stderr)).toMatchObject({ error: { code: 'REFUSED' } });
  });
});

describe('questions about a deployment', { timeout: 120_000 }, () => {
  test('who can do what, what an agent can do for a user, and whether all is well', async () => {
    const [who, can, well] = await Promise.all([
      ok('who-can', 'suppliers.read', 'erp/suppliers/S-100'),
      ok('can', 'procurement-agent', 'alice'),
      ok('doctor'),
    ]);
    expect(who).toMatch(
      /^users\n {2}alice [^]*^agents\n[^]*^ {2}procurement-agent\n[^]*supplier-risk-summary/m,
    );
    expect(who).toContain('guardrails: none');
    expect(can).toMatch(
      /^procurement-agent for alice, at most\n {2}suppliers\.read[^]*^in tasks\n/m,
    );
    expect(well).toMatch(/^ok +registry +ready \(.*database/m);
    expect(well).toMatch(/^ok +pdp keys +\d published, all pinned$/m);
    expect(well).toMatch(/^ok +audit clock +agrees with this machine$/m);
    expect(well).toMatch(/^0 faults, \d+ warnings\.$/m);
  });

  test('the doctor names what does not answer, and keys that nobody pinned, and fails', async () => {
    const trust = JSON.parse(readFileSync(demo.dev.trust_file, 'utf8')) as {
      keys: Record<string, unknown>;
    };
    const other = join(dir, 'trust.json');
    const keys = { ...trust.keys, pdp: trust.keys['revocation'] };
    writeFileSync(other, JSON.stringify({ ...trust, keys }));
    const { code, stdout } = await remit(['doctor', '--json'], {
      REMIT_URLS: `pdp=${demo.dev.urls['pdp']},audit=http://127.0.0.1:9`,
      REMIT_TRUST_FILE: other,
    });
    expect(code).toBe(1);
    const { checks } = JSON.parse(stdout) as { checks: object[] };
    expect(checks).toContainEqual(
      expect.objectContaining({
        what: 'audit',
        state: 'fault',
        found: 'http://127.0.0.1:9 does not answer',
      }),
    );
    expect(checks).toContainEqual(
      expect.objectContaining({
        what: 'pdp keys',
        state: 'fault',
        found: expect.stringContaining('none of the published keys is pinned'),
      }),
    );
  });
});

describe('what goes wrong is said with what to do', { timeout: 120_000 }, () => {
  test('who may not, what is not there, who does not answer', async () => {
    const cases: [string[], Record<string, string>, number, RegExp][] = [
      [['policy', 'rollback', '--as', 'alice'], {}, 1, /403 FORBIDDEN.*remit-admin/],
      [['policy', 'activate', '999'], {}, 1, /^There is no version 999\. There are 2, 1; /],
      [['policy', 'test', '/nowhere'], {}, 2, /holds no \.cedar file/],
      [['explain', 'nothing'], {}, 1, /^The ledger has no record nothing\./],
      [['policy', 'replay', 'active', '--since', 'yesterday'], {}, 2, /7d, 12h or 30m/],
      [
        ['policy', 'list'],
        { REMIT_PDP_URL: 'http://127.0.0.1:9/t/acme', REMIT_PDP_TOKEN: 'x' },
        1,
        /^The pdp at http:\/\/127\.0\.0\.1:9\/t\/acme does not answer\./,
      ],
      [['policy', 'list'], { REMIT_PDP_URL: 'http://x' }, 2, /REMIT_PDP_TOKEN_FILE/],
      [
        ['policy', 'list'],
        { REMIT_PDP_URL: `${demo.dev.urls['pdp']}/t/acme`, REMIT_PDP_TOKEN: 'x' },
        1,
        /401 UNAUTHENTICATED.*new access token/,
      ],
    ];
    for (const [args, env, code, said] of cases) {
      const ran = await remit(args, env);
      expect([ran.code, ran.stdout], args.join(' ')).toEqual([code, '']);
      expect(ran.stderr).toMatch(said);
    }
  });
});
