import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { repositoryRoot } from '@remit/stack';
import { describe, expect, test } from 'vitest';
import { type Checkout, ended, makeCheckout } from './checkout.ts';

const PNPM = `const { appendFileSync } = require('node:fs');
appendFileSync('pnpm-calls', process.argv.slice(2, 4).join(' ') + '\\n');
console.log('Progress: resolved 1');`;
const WAITING = `process.on('SIGTERM', () => { console.log('stopped'); process.exit(143); });
process.on('SIGINT', () => { console.log('interrupted'); process.exit(130); });
setInterval(() => {}, 1000);
console.log(String(process.pid));`;

const failing = (said: string) => `console.log(${JSON.stringify(said)}); process.exit(1)`;

const gone = async (pid: number): Promise<void> => {
  await expect.poll(() => existsSync(`/proc/${pid}/cwd`), { timeout: 5000 }).toBe(false);
};
async function startWaiting(
  checkout: Checkout,
  through?: string[],
): Promise<{ child: ReturnType<Checkout['start']>; pid: number }> {
  const child = checkout.start(['demo'], through === undefined ? {} : { through });
  child.on('close', (code) => child.stdout?.destroy(new Error(`ended early with ${code}`)));
  for (;;) {
    const [chunk] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    const pid = Number(/^\d+/m.exec(chunk.toString())?.[0]);
    if (pid > 0) return { child, pid };
  }
}

describe('a command', () => {
  test('keeps its stdout to itself: what the installation says goes to stderr', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: `console.log('{"ok":true}')` });
    const { code, stdout, stderr } = await checkout.run(['demo', '--json']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '{"ok":true}\n' });
    expect(stderr).toContain('Progress: resolved 1');
  });

  test('installs once, and again when the lockfile has changed', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: '' });
    await checkout.run(['demo']);
    const second = await checkout.run(['demo']);
    expect(second).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(checkout.read('pnpm-calls')).toBe('install --frozen-lockfile\n');
    checkout.write('pnpm-lock.yaml', 'lockfileVersion: 10');
    await checkout.run(['demo']);
    expect(checkout.read('pnpm-calls')).toBe('install --frozen-lockfile\n'.repeat(2));
  });

  test('passes arguments on as they are, and the exit code back', async () => {
    const demo = 'console.log(JSON.stringify(process.argv.slice(2))); process.exit(7)';
    using checkout = makeCheckout({ pnpm: PNPM, demo });
    const { code, stdout } = await checkout.run(['demo', '--without', 'a b', '$x', '']);
    expect({ code, args: JSON.parse(stdout) as unknown }).toEqual({
      code: 7,
      args: ['--without', 'a b', '$x', ''],
    });
  });

  test('that there is not is refused with those that there are', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: '' });
    for (const verb of ['nope', '', '__proto__', 'constructor']) {
      expect(await checkout.run([verb])).toEqual({
        code: 1,
        stdout: '',
        stderr: `remit: there is no command "${verb}"; the commands are demo, start, tail, dev, remit, bench, fuzz, faults, pack, test, check.\n`,
      });
    }
  });
});

describe('what can not be had is said in one plain sentence with the way out', () => {
  test.each([
    ['ENOSPC: no space left on device, write', 'the disk is full: free about 1.5 GB'],
    ['GET https://registry/x error (ENOTFOUND)', 'the npm registry cannot be reached'],
    ['ERR_PNPM_META_FETCH_FAIL', 'the npm registry cannot be reached'],
    ['EACCES: permission denied, mkdir', 'is not writable for you'],
    ['ERR_PNPM_OUTDATED_LOCKFILE Cannot install', 'pnpm-lock.yaml does not belong'],
    ['ERR_PNPM_TARBALL_INTEGRITY', 'is not the one that the lockfile names'],
    ['something else', 'pnpm could not install the packages; what it said stands above.'],
  ])('when pnpm says %j', async (said, sentence) => {
    using checkout = makeCheckout({ pnpm: failing(said), demo: 'console.log("ran")' });
    const { code, stdout, stderr } = await checkout.run(['demo']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const last = stderr.trimEnd().split('\n').at(-1);
    expect(last).toMatch(/^remit: /);
    expect(last).toContain(sentence);
    // Nothing is taken for installed.
    expect(existsSync(`${checkout.dir}/node_modules/.remit-installed`)).toBe(false);
  });

  test('when there is no npm', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: '' });
    checkout.write('scripts/tools/node_modules/pnpm/package.json', '{ "version": "0.0.0" }');
    const { code, stderr } = await checkout.run(['demo'], { env: { PATH: checkout.dir } });
    expect(code).toBe(1);
    expect(stderr).toContain('remit: npm is not on the PATH: install Node with npm');
  });

  test('when the program of a command is missing', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: '' });
    const { code, stderr } = await checkout.run(['start']);
    expect(code).toBe(1);
    expect(stderr).toContain('remit: demo/start.ts is missing in this checkout.\n');
  });
});

describe('the end of a command', () => {
  test('SIGTERM reaches what it runs, and the exit code says so', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: WAITING });
    const { child, pid } = await startWaiting(checkout);
    const end = ended(child);
    child.kill('SIGTERM');
    expect(await end).toMatchObject({ code: 143, stdout: 'stopped\n' });
    await gone(pid);
  });

  // Goes red when the bootstrap does not look at who started it.
  test('SIGKILL to whoever started it, as npm is, ends what it runs', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: WAITING });
    const npm = `const c = require('node:child_process').spawn(process.argv[1], process.argv.slice(2), { stdio: 'inherit' }); setInterval(() => {}, 1000)`;
    const { child, pid } = await startWaiting(checkout, [process.execPath, '-e', npm]);
    child.kill('SIGKILL');
    await gone(pid);
  });

  test('the same when npm has put a shell between', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: WAITING });
    const npm = `const c = require('node:child_process').spawn('sh', ['-c', '"$@"; exit', 'sh', ...process.argv.slice(1)], { stdio: 'inherit' }); setInterval(() => {}, 1000)`;
    const { child, pid } = await startWaiting(checkout, [process.execPath, '-e', npm]);
    child.kill('SIGKILL');
    await gone(pid);
  });

  // `script` gives it a terminal; a Ctrl-C there goes to everybody at once.
  test.runIf(existsSync('/usr/bin/script'))('Ctrl-C in a terminal stops it once', async () => {
    using checkout = makeCheckout({ pnpm: PNPM, demo: WAITING });
    const inTerminal = ['sh', '-c', 'exec script -qefc "$*" /dev/null', 'sh'];
    const { child, pid } = await startWaiting(checkout, inTerminal);
    const end = ended(child);
    child.stdin?.write('\x03');
    expect(await end).toMatchObject({ code: 130, stdout: expect.stringContaining('interrupted') });
    await gone(pid);
  });
});

test('the bootstrap names no folder of any machine', () => {
  for (const file of ['scripts/run.mjs', 'scripts/tools/bootstrap.mjs']) {
    const text = readFileSync(`${repositoryRoot}${file}`, 'utf8');
    expect(text).not.toMatch(/['"`]\/(home|root|Users|opt|usr|var|tmp|work)\b/);
  }
});
