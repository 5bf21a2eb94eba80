// Brings pnpm, Node 24 and the workspace's packages. Plain JavaScript for any Node >= 18.
import * as crypto from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** An error whose message is the whole story for the person at the terminal: no stack is shown. */
export class Plain extends Error {}

const tools = dirname(fileURLToPath(import.meta.url));
const pnpm = join(tools, 'node_modules', 'pnpm', 'bin', 'pnpm.cjs');
const retries = [
  '--fetch-retries=2',
  '--fetch-retry-mintimeout=1000',
  '--fetch-retry-maxtimeout=5000',
];

/**
 * Makes the checkout ready to run and says which Node to use. What is in place already is left alone, so
 * a second call costs milliseconds.
 */
export async function prepare({ root, run, say }) {
  const bundled = `node-${process.platform}-${process.arch}`;
  const wanted = readJson(join(tools, 'package.json'));
  // By what it has too: 25 has no `randomUUIDv7`, 26 has.
  const ownIsEnough = atLeast(process.versions.node, 24, 16) && 'randomUUIDv7' in crypto;
  if (!ownIsEnough && !Object.hasOwn(wanted.optionalDependencies, bundled)) {
    throw new Plain(
      `this runs on Node 24.16 or newer, and none can be brought for ${process.platform} ${process.arch}: install Node 24 from https://nodejs.org (this is ${process.versions.node}) and run the command again.`,
    );
  }

  const missing = !has('pnpm', wanted.dependencies.pnpm);
  if (missing || (!ownIsEnough && !has(bundled, wanted.optionalDependencies[bundled]))) {
    say(`bringing pnpm${ownIsEnough ? '' : ' and Node 24'} from the npm registry (once) …`);
    await install(run, 'npm', [
      ...['ci', '--prefix', tools, '--include=optional', '--ignore-scripts'],
      ...['--no-audit', '--no-fund', '--loglevel=error', ...retries],
    ]);
  }

  const node = ownIsEnough ? process.execPath : join(tools, 'node_modules', bundled, 'bin', 'node');
  const env = {
    // Node keeps what it has compiled: the second start costs about half.
    NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'remit-compile'),
    ...process.env,
    PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}`,
  };
  await installWorkspace({ root, run, say, node, env, bundled, ownIsEnough });
  return { node, env };
}

async function installWorkspace({ root, run, say, node, env, bundled, ownIsEnough }) {
  const stampFile = join(root, 'node_modules', '.remit-installed');
  const stamp = fingerprint(root, ownIsEnough ? process.versions.node : bundled);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;

  if (!ownIsEnough) {
    const probe = await run([node, '-e', ''], { quiet: true }).catch((error) => ({
      code: error.code,
    }));
    if (probe.code !== 0) {
      throw new Plain(
        `the Node 24 from npm (${bundled}) does not run here, probably because this system has another C library than glibc: install Node 24.16 or newer yourself and run the command again.`,
      );
    }
  }
  say('installing the packages of the workspace …');
  await install(
    run,
    node,
    [
      ...[pnpm, 'install', '--frozen-lockfile', '--reporter=append-only', ...retries],
      // `npm run -s` would silence it by the environment, and then nobody knew why it failed.
      '--loglevel=info',
      '--config.confirmModulesPurge=false',
    ],
    env,
  );
  writeFileSync(stampFile, stamp);
}

async function install(run, command, args, env = process.env) {
  let result;
  try {
    const quieter = { ...env, npm_config_update_notifier: 'false' };
    result = await run([command, ...args], { env: quieter, quiet: true });
  } catch (error) {
    if (error.code === 'ENOENT') {
      throw new Plain(
        `${command} is not on the PATH: install Node with npm (https://nodejs.org) and run the command again.`,
      );
    }
    throw error;
  }
  if (result.code !== 0) throw new Plain(explain(result.said, command === 'npm' ? 'npm' : 'pnpm'));
}

/** Turns what npm or pnpm said before it failed into one sentence with the way out. */
function explain(said, tool) {
  if (/ENOSPC|no space left/i.test(said)) {
    return 'the disk is full: free about 1.5 GB where this checkout and the pnpm store are, and run the command again.';
  }
  if (/EACCES|EPERM|EROFS/.test(said)) {
    return 'a file or folder of this checkout (or the pnpm store in your home) is not writable for you: give it back to your user with chown, and run the command again.';
  }
  if (/ERR_PNPM_OUTDATED_LOCKFILE/.test(said)) {
    return 'pnpm-lock.yaml does not belong to the package.json files: run pnpm install without --frozen-lockfile and commit the lockfile.';
  }
  if (/ERR_PNPM_TARBALL_INTEGRITY|EINTEGRITY/.test(said)) {
    return 'a downloaded package is not the one that the lockfile names: nothing of it was used; check the registry that npm is set to, and run the command again.';
  }
  if (
    /ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|SOCKET|network|ERR_PNPM_META_FETCH/i.test(said)
  ) {
    return 'the npm registry cannot be reached, and the packages are needed once: check the network or the proxy (npm config get registry), and run the command again.';
  }
  return `${tool} could not install the packages; what it said stands above.`;
}

function has(name, version) {
  const file = join(tools, 'node_modules', name, 'package.json');
  return existsSync(file) && readJson(file).version === version;
}

/** Everything that decides what an installation holds; the checkout's path too, since it may be moved. */
function fingerprint(root, nodeVersion) {
  const hash = crypto.createHash('sha256').update(`${nodeVersion}\n${root}\n`);
  const members = ['packages', 'services'].flatMap((parent) =>
    existsSync(join(root, parent))
      ? readdirSync(join(root, parent)).map((name) => join(parent, name))
      : [],
  );
  const manifests = ['.', ...members, 'demo', 'infra', 'test'].map((dir) =>
    join(dir, 'package.json'),
  );
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests]) {
    const path = join(root, file);
    hash.update(`${file}\n`).update(existsSync(path) ? readFileSync(path) : 'absent');
  }
  return hash.digest('hex');
}

function atLeast(version, major, minor) {
  const [ownMajor, ownMinor] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
