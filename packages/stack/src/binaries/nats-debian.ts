import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Suites whose package is tried, newest servers first. */
export const DEBIAN_SUITES = ['testing', 'sid', 'stable'] as const;

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const STEP_TIMEOUT_MS = 60_000;

/**
 * Unpacks Debian's nats-server package of one suite below `dir` and returns the path of its binary.
 * apt runs with folders of its own, so the system's lists, preferences and packages are neither used
 * nor changed, and checks the archive's signature with Debian's keyring. Needs no root.
 * Throws when this is no Debian or the mirror can't be reached.
 */
export async function unpackDebianNats(dir: string, suite: string): Promise<string> {
  if (!existsSync('/usr/bin/apt-get') || !existsSync(KEYRING)) {
    throw new Error('this system has no apt with the Debian keyring');
  }
  const out = join(dir, 'out');
  for (const folder of ['lists/partial', 'cache/archives/partial', 'out']) {
    await mkdir(join(dir, folder), { recursive: true });
  }
  await writeFile(join(dir, 'status'), '');
  const mirror = await debianMirror();
  await writeFile(
    join(dir, 'sources.list'),
    `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`,
  );
  const options = [
    `Dir::Etc::sourcelist=${dir}/sources.list`,
    'Dir::Etc::sourceparts=/dev/null',
    'Dir::Etc::preferences=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    `Dir::State=${dir}`,
    `Dir::State::status=${dir}/status`,
    `Dir::State::lists=${dir}/lists`,
    `Dir::Cache=${dir}/cache`,
    'Acquire::Languages=none',
    'Acquire::Retries=1',
    'Acquire::http::Timeout=10',
    'Acquire::https::Timeout=10',
    'APT::Sandbox::User=',
    'Debug::NoLocking=1',
  ].flatMap((option) => ['-o', option]);
  const apt = (args: string[]) =>
    run('apt-get', [...options, ...args], { cwd: out, timeout: STEP_TIMEOUT_MS });
  await apt(['update', '-qq', '--error-on=any']);
  await apt(['download', '-qq', 'nats-server']);
  const deb = (await readdir(out)).find((file) => file.endsWith('.deb'));
  if (deb === undefined) throw new Error('apt downloaded nothing');
  await run('dpkg-deb', ['-x', join(out, deb), join(dir, 'root')], { timeout: STEP_TIMEOUT_MS });
  return join(dir, 'root/usr/sbin/nats-server');
}

/** The mirror that this system uses for Debian itself, so that a company's own mirror is respected. */
async function debianMirror(): Promise<string> {
  const { stdout } = await run('apt-get', [
    'indextargets',
    ...['--format', '$(REPO_URI) $(ORIGIN) $(LABEL)'],
    'Created-By: Packages',
  ]).catch(() => ({ stdout: '' }));
  for (const line of stdout.split('\n')) {
    const [uri, origin, label] = line.split(' ');
    if (uri !== undefined && origin === 'Debian' && label === 'Debian') return uri;
  }
  const sources = await readFile('/etc/apt/sources.list.d/debian.sources', 'utf8').catch(() => '');
  return /^URIs:\s*(\S+)/m.exec(sources)?.[1] ?? 'http://deb.debian.org/debian';
}
