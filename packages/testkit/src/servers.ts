import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BusMembers,
  createSupervisor,
  type DatabaseFiles,
  ensureNatsServer,
  generateBus,
  generateRoles,
  migrate,
  repositoryRoot,
  runSql,
  serviceRoles,
  startPostgres,
  sweep,
  writePidFile,
} from '@remit/stack';
import { removeFolder } from './folders.ts';
import { type GivenBus, type GivenBusAddress, givenBus } from './given-bus.ts';
import { DEFAULT_MEMBERS } from './members.ts';

/** Where pid files of test servers lie, so that a later run ends what a killed one left. */
export const testRunDir = join(repositoryRoot, '.remit', 'run');

export type TestDatabase = { name: string; url: string; ownerUrl: string };

/** What a test file has its bus from: a program here, an image, or a server that runs at this URL. */
export type BusSource = { binary: string } | { image: string } | { url: string };

/** The servers of one test run. */
export type TestServers = {
  /** Everything of this run is below it, and goes with it. */
  readonly dir: string;
  /** The nats-server to start, and the folder with the production configuration of its default members. */
  bus(): Promise<{ source: BusSource; dir: string }>;
  /** Lets these on the given server too. */
  admitToBus(members: BusMembers): Promise<void>;
  /** Deletes the streams of the given server. */
  clearBus(): Promise<void>;
  /** A database of its own for one service, migrated. */
  database(service: string): Promise<TestDatabase>;
  dropDatabase(name: string): Promise<void>;
  close(): Promise<void>;
};

/** A PostgreSQL to make databases in. */
type Cluster = { superuserUrl(database?: string): string; close(): Promise<void> };

/** Where the servers of a run come from. */
type Source = {
  bus(): Promise<BusSource>;
  /** How the server is written to, when `bus` is a URL. */
  given?(): GivenBusAddress;
  cluster(dir: string): Promise<Cluster>;
};

const sources: Record<string, Source> = {
  embedded: {
    bus: async () => ({ binary: (await ensureNatsServer()).path }),
    cluster: embeddedCluster,
  },
  testcontainers: {
    bus: async () => ({ image: (await import('./containers.ts')).NATS_IMAGE }),
    cluster: async () => (await import('./containers.ts')).startPostgresContainer(),
  },
  external: {
    bus: async () => ({ url: externalBus().url }),
    given: externalBus,
    cluster: () => Promise.resolve(externalCluster(process.env['REMIT_TEST_POSTGRES_URL'])),
  },
};

/** The servers that `REMIT_TEST_INFRA` asks for. Throws RangeError for a mode that there is not. */
export function testServers(mode = process.env['REMIT_TEST_INFRA'] ?? 'embedded'): TestServers {
  const source = Object.hasOwn(sources, mode) ? sources[mode] : undefined;
  if (source) return serversFrom(source);
  throw new RangeError(
    `REMIT_TEST_INFRA=${mode} is not known; ${Object.keys(sources).join(', ')} are.`,
  );
}

/** Durability is off (nothing here outlives the run), everything else is as in production. */
async function embeddedCluster(dir: string): Promise<Cluster> {
  const supervisor = createSupervisor({ runDir: testRunDir });
  const { superuserUrl } = await startPostgres({
    supervisor,
    logFile: join(dir, 'postgres.log'),
    durability: 'unsafe-for-tests',
    maxConnections: 300,
  });
  return { superuserUrl, close: () => supervisor.stopAll() };
}

/** Somebody else's nats-server, started with a configuration that `infra/nats` wrote and tests may write again. */
function externalBus(): GivenBusAddress {
  const url = process.env['REMIT_TEST_NATS_URL'];
  const dir = process.env['REMIT_TEST_NATS_DIR'];
  if (url && dir && URL.canParse(url) && existsSync(join(dir, 'nats.json'))) return { url, dir };
  throw new RangeError(
    'REMIT_TEST_INFRA=external needs REMIT_TEST_NATS_URL and REMIT_TEST_NATS_DIR: a nats-server for tests alone, and the folder it was started from, which holds nats.json and seeds as node infra/nats/main.ts --out writes them.',
  );
}

/** Somebody else's server, for tests alone: its superuser makes roles and databases in it. */
function externalCluster(given: string | undefined): Cluster {
  if (!given || !URL.canParse(given)) {
    throw new RangeError(
      'REMIT_TEST_INFRA=external needs REMIT_TEST_POSTGRES_URL: the URL of a superuser of a server that is for tests alone.',
    );
  }
  return {
    superuserUrl: (database) => inDatabase(given, database ?? 'postgres'),
    close: () => Promise.resolve(),
  };
}

function inDatabase(connection: string, database: string, role?: string, password = ''): string {
  const url = new URL(connection);
  url.pathname = `/${database}`;
  if (role !== undefined) Object.assign(url, { username: role, password });
  return url.href;
}

/**
 * Real servers, started when first asked for: one PostgreSQL, and per service one template database
 * that is migrated once. Roles, schemas and passwords are as in production.
 */
function serversFrom(source: Source): TestServers {
  const dir = mkdtempSync(join(tmpdir(), 'remit-testkit-'));
  // A run that is killed leaves its folder to the next run's sweep.
  const forget = writePidFile(testRunDir, { name: 'test-run', pid: process.pid, folders: [dir] });
  const swept = sweep(testRunDir);
  // A server that is not ours alone may hold the databases of another run.
  const prefix = `remit_test_${randomBytes(4).toString('hex')}`;
  const made = new Set<string>();

  const given = once(async (): Promise<GivenBus> => {
    if (!source.given) throw new Error('the nats-server of a test file is its own');
    return givenBus(source.given());
  });

  const bus = once(async () => {
    await swept;
    const from = await source.bus();
    const folder = source.given?.().dir ?? join(dir, 'bus');
    if (source.given) await (await given()).admit(DEFAULT_MEMBERS);
    else await generateBus(folder, DEFAULT_MEMBERS);
    return { source: from, dir: folder };
  });

  let opened: Cluster | undefined;
  const cluster = once(async (): Promise<{ postgres: Cluster; files: DatabaseFiles }> => {
    await swept;
    const [postgres, files] = await Promise.all([
      source.cluster(dir),
      generateRoles(join(dir, 'roles')),
    ]);
    opened = postgres;
    await runSql(postgres.superuserUrl(), files.rolesSql);
    return { postgres, files };
  });

  const create = async (name: string, template = 'template1'): Promise<void> => {
    const { postgres, files } = await cluster();
    made.add(name);
    await runSql(postgres.superuserUrl(), `create database ${name} template ${template}`);
    // A clone takes over everything but the rights on the database itself.
    await runSql(postgres.superuserUrl(name), files.schemasSql);
  };
  const drop = async (name: string): Promise<void> => {
    const { postgres } = await cluster();
    await runSql(postgres.superuserUrl(), `drop database if exists ${name} with (force)`);
    made.delete(name);
  };
  const templates = new Map<string, Promise<string>>();
  const template = (service: string): Promise<string> => {
    const known = templates.get(service) ?? makeTemplate(service);
    templates.set(service, known);
    return known;
  };
  const makeTemplate = async (service: string): Promise<string> => {
    const name = `${prefix}_template_${service}`;
    await create(name);
    await migrate(service, await urlOf(name, serviceRoles(service).owner));
    return name;
  };
  const urlOf = async (database: string, role: string): Promise<string> => {
    const { postgres, files } = await cluster();
    return inDatabase(postgres.superuserUrl(), database, role, files.password(role));
  };

  let databases = 0;
  return {
    dir,
    bus,
    admitToBus: async (members) => (await given()).admit(members),
    clearBus: async () => (await given()).clear(),
    async database(service) {
      const from = await template(service);
      const name = `${prefix}_${++databases}_${service}`;
      await create(name, from);
      const { app, owner } = serviceRoles(service);
      return { name, url: await urlOf(name, app), ownerUrl: await urlOf(name, owner) };
    },
    dropDatabase: drop,
    async close() {
      try {
        if (opened) for (const name of made) await drop(name);
      } finally {
        await opened?.close();
        removeFolder(dir);
        forget();
      }
    },
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
