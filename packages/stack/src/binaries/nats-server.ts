import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { StackError } from '../error.ts';
import { cacheDir } from './cache.ts';
import { DEBIAN_SUITES, unpackDebianNats } from './nats-debian.ts';
import { downloadOfficialNats, OFFICIAL_VERSION } from './nats-official.ts';
import { judgeNatsVersion, parseNatsVersion } from './nats-version.ts';

const run = promisify(execFile);

export type NatsServer = {
  path: string;
  version: string;
  /** Where it came from, in words. */
  source: string;
  /** Set when the version has published weaknesses; production refuses it. */
  warning?: string;
};

export type EnsureNatsOptions = {
  /** Refuse versions that are only good enough on loopback. Default false. */
  production?: boolean;
  /** One line per step: what is done and why it went on. Default: silent. */
  say?: (line: string) => void;
  env?: NodeJS.ProcessEnv;
  /** Where it may be fetched from, in this order. Default: the official release, then Debian's suites. */
  sources?: readonly NatsSource[];
};

/** Fetches a nats-server into a folder and gives the path of its binary there. */
export type NatsSource = { name: string; fetch: (into: string) => Promise<string> };

/**
 * A nats-server to run, in this order: `REMIT_NATS_SERVER`, the one on PATH, what is in the cache, the
 * official release (checked against its published SHA256SUMS), and on Debian the distribution's package
 * (checked by apt). 2.12.12 and 2.14.3 and later are taken silently, from 2.10 with a warning, older
 * ones not at all. Nothing on the system is changed; downloads go to the cache folder.
 *
 * Throws StackError `NATS_SERVER_TOO_OLD` when the one that was asked for by name is too old, and
 * `BINARY_UNAVAILABLE` with every reason when none can be had.
 */
export async function ensureNatsServer(options: EnsureNatsOptions = {}): Promise<NatsServer> {
  const env = options.env ?? process.env;
  const say = options.say ?? (() => {});
  const reasons: string[] = [];
  const goOn = (reason: string): void => {
    reasons.push(reason);
    say(`nats-server: ${reason}`);
  };

  const named = env['REMIT_NATS_SERVER'];
  if (named !== undefined && named !== '') {
    const found = await inspect(named, 'REMIT_NATS_SERVER', options);
    if (typeof found === 'string') {
      throw new StackError(
        'NATS_SERVER_TOO_OLD',
        `REMIT_NATS_SERVER is not usable: ${found}. Point it to nats-server 2.12.12 or newer, or unset it.`,
        { details: { path: named } },
      );
    }
    return found;
  }

  const onPath = (env['PATH'] ?? '')
    .split(delimiter)
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, 'nats-server'))
    .find((file) => existsSync(file));
  if (onPath !== undefined) {
    const found = await inspect(onPath, 'PATH', options);
    if (typeof found !== 'string') return found;
    goOn(found);
  } else {
    goOn('none on PATH');
  }

  const cache = join(cacheDir(env), 'nats-server');
  const candidates = (options.sources ?? defaultSources()).map((source) => ({
    source,
    home: join(cache, source.name.replaceAll(/[^a-z0-9.]+/gi, '-')),
  }));
  const cached = candidates.filter(({ home }) => existsSync(join(home, 'nats-server')));
  for (const { source, home } of [
    ...cached,
    ...candidates.filter((each) => !cached.includes(each)),
  ]) {
    try {
      if (!existsSync(home)) {
        say(`nats-server: bringing ${source.name} …`);
        await fetchInto(cache, home, source);
      }
      const found = await inspect(join(home, 'nats-server'), source.name, options);
      if (typeof found !== 'string') return found;
      goOn(found);
    } catch (error) {
      goOn(`${source.name}: ${messageOf(error)}`);
    }
  }
  throw new StackError(
    'BINARY_UNAVAILABLE',
    `no nats-server can be had (${reasons.join('; ')}): install nats-server 2.12.12 or newer from https://github.com/nats-io/nats-server/releases, put it on PATH or name it in REMIT_NATS_SERVER, and run the command again.`,
    { details: { reasons } },
  );
}

function defaultSources(): NatsSource[] {
  return [
    { name: `official release ${OFFICIAL_VERSION}`, fetch: downloadOfficialNats },
    ...DEBIAN_SUITES.map((suite) => ({
      name: `Debian package of ${suite}`,
      fetch: (into: string) => unpackDebianNats(into, suite),
    })),
  ];
}

/** Fetches beside the cache's place and moves it there, so that a place is complete or absent. */
async function fetchInto(cache: string, home: string, source: NatsSource): Promise<void> {
  await mkdir(cache, { recursive: true, mode: 0o755 });
  const work = await mkdtemp(join(cache, '.fetch-'));
  try {
    const binary = await source.fetch(work);
    await mkdir(join(work, 'home'));
    await rename(binary, join(work, 'home', 'nats-server'));
    await chmod(join(work, 'home', 'nats-server'), 0o755);
    await rename(join(work, 'home'), home).catch((error: NodeJS.ErrnoException) => {
      // Another process was faster; what it put there is as good.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The server at `path`, or in words why it can't be used. */
async function inspect(
  path: string,
  source: string,
  options: EnsureNatsOptions,
): Promise<NatsServer | string> {
  let version: string | undefined;
  try {
    const { stdout } = await run(path, ['--version'], { timeout: 5000 });
    version = parseNatsVersion(stdout);
  } catch (error) {
    return `${path} does not run (${messageOf(error)})`;
  }
  if (version === undefined) return `${path} says no version`;
  const verdict = judgeNatsVersion(version);
  if (verdict === 'current') return { path, version, source };
  if (verdict === 'refused') return `${path} is ${version}, and 2.10 is the least that works`;
  if (options.production === true) {
    return `${path} is ${version}, which has published weaknesses, and this is a production configuration`;
  }
  const warning = `nats-server ${version} has published weaknesses; fine on loopback, never beyond: use 2.12.12, 2.14.3 or newer.`;
  options.say?.(`warning: ${warning}`);
  return { path, version, source, warning };
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error.message.split('\n')[0]}${cause}`;
}
