import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BusFiles,
  createSupervisor,
  type DatabaseFiles,
  databaseUrl,
  ensureNatsServer,
  generateBus,
  generateRoles,
  migrate,
  type RunningPostgres,
  repositoryRoot,
  runSql,
  serviceRoles,
  startPostgres,
  sweep,
  writePidFile,
} from '@remit/stack';
import { removeFolder } from './folders.ts';
import { DEFAULT_MEMBERS } from './members.ts';

/** Where pid files of test servers lie, so that a later run ends what a killed one left. */
export const testRunDir = join(repositoryRoot, '.remit', 'run');

export type TestDatabase = { name: string; url: string; ownerUrl: string };

/**
 * The servers of one test run. The one seam for other modes of `REMIT_TEST_INFRA`: whoever gives these
 * answers can stand in for the embedded servers.
 */
export type TestServers = {
  /** Everything of this run is below it, and goes with it. */
  readonly dir: string;
  /** The nats-server to start, and the production configuration with its default members. */
  bus(): Promise<{ binary: string; configFile: string; dir: string }>;
  /** A database of its own for one service, migrated. */
  database(service: string): Promise<TestDatabase>;
  dropDatabase(name: string): Promise<void>;
  close(): Promise<void>;
};

/** The servers that `REMIT_TEST_INFRA` asks for. Throws RangeError for a mode that there is not. */
export function testServers(mode = process.env['REMIT_TEST_INFRA'] ?? 'embedded'): TestServers {
  if (mode === 'embedded') return embeddedServers();
  throw new RangeError(`REMIT_TEST_INFRA=${mode} is not known; "embedded" is.`);
}

/**
 * Real servers, started when first asked for: one PostgreSQL, and per service one template database
 * that is migrated once. Durability is off (nothing here outlives the run), everything else is as in
 * production: roles, schemas, passwords.
 */
function embeddedServers(): TestServers {
  const dir = mkdtempSync(join(tmpdir(), 'remit-testkit-'));
  // A run that is killed leaves its folder to the next run's sweep.
  const forget = writePidFile(testRunDir, { name: 'test-run', pid: process.pid, folders: [dir] });
  const supervisor = createSupervisor({ runDir: testRunDir });
  const swept = sweep(testRunDir);

  const bus = once(async () => {
    await swept;
    const [server, files]: [{ path: string }, BusFiles] = await Promise.all([
      ensureNatsServer(),
      generateBus(join(dir, 'bus'), DEFAULT_MEMBERS),
    ]);
    return { binary: server.path, configFile: files.configFile, dir: join(dir, 'bus') };
  });

  const cluster = once(async (): Promise<{ postgres: RunningPostgres; files: DatabaseFiles }> => {
    await swept;
    const [postgres, files] = await Promise.all([
      startPostgres({
        supervisor,
        logFile: join(dir, 'postgres.log'),
        durability: 'unsafe-for-tests',
        maxConnections: 300,
      }),
      generateRoles(join(dir, 'roles')),
    ]);
    await runSql(postgres.superuserUrl(), files.rolesSql);
    return { postgres, files };
  });

  const templates = new Map<string, Promise<string>>();
  const template = (service: string): Promise<string> => {
    const known = templates.get(service);
    if (known !== undefined) return known;
    const made = makeTemplate(service);
    templates.set(service, made);
    return made;
  };
  const makeTemplate = async (service: string): Promise<string> => {
    const { postgres, files } = await cluster();
    const name = `template_${service}`;
    await runSql(postgres.superuserUrl(), `create database ${name}`);
    await runSql(postgres.superuserUrl(name), files.schemasSql);
    await migrate(service, await urlOf(name, serviceRoles(service).owner));
    return name;
  };
  const urlOf = async (database: string, role: string): Promise<string> => {
    const { postgres, files } = await cluster();
    return databaseUrl({ port: postgres.port, role, password: files.password(role), database });
  };

  let databases = 0;
  return {
    dir,
    bus,
    async database(service) {
      const source = await template(service);
      const { postgres, files } = await cluster();
      const name = `test_${++databases}_${service}`;
      await runSql(postgres.superuserUrl(), `create database ${name} template ${source}`);
      // A clone takes over everything but the rights on the database itself.
      await runSql(postgres.superuserUrl(name), files.schemasSql);
      const { app, owner } = serviceRoles(service);
      return { name, url: await urlOf(name, app), ownerUrl: await urlOf(name, owner) };
    },
    async dropDatabase(name) {
      const { postgres } = await cluster();
      await runSql(postgres.superuserUrl(), `drop database if exists ${name} with (force)`);
    },
    async close() {
      await supervisor.stopAll();
      removeFolder(dir);
      forget();
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
