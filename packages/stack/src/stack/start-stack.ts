import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SERVICES } from '@remit/contracts';
import { ensureNatsServer, type NatsServer } from '../binaries/nats-server.ts';
import { StackError } from '../error.ts';
import { type KeyFiles, makeKeys, makeTrust, writeSecret } from '../keys/key-files.ts';
import { sweep } from '../process/pid-files.ts';
import { createSupervisor, type ManagedProcess, type Supervisor } from '../process/supervisor.ts';
import { startNats } from '../servers/nats.ts';
import { type RunningPostgres, startPostgres } from '../servers/postgres.ts';
import { databaseUrl, ensureDatabase, migrate, prepareCluster, serviceRoles } from './databases.ts';
import {
  type BusFiles,
  type BusMembers,
  type DatabaseFiles,
  generateBus,
  generateRoles,
} from './generators.ts';
import { planStack, removeStack, type StackPlan } from './plan.ts';
import { createPrograms, type Program, type Programs } from './programs.ts';
import { repositoryRoot } from './repository.ts';
import { type Environment, SERVICES_DATABASE, serviceEnvironment } from './service-env.ts';

/** How long services are waited for that may need one that is left out. */
const READY_WITHOUT_ALL_MS = 5000;

export type StackFiles = { keys: KeyFiles; bus: BusFiles; trustFile: string };

/** What an extra process may build its environment from. */
export type ExtraContext = StackFiles & {
  plan: StackPlan;
  /** The URL of an extra database, of the same name as its owner. */
  databaseUrl(name: string): string;
};

export type StackOptions = {
  /** Where everything is kept. Undefined: a temporary folder that goes with the stack. */
  dir?: string;
  ports: 'fixed' | 'free';
  tenants: readonly string[];
  members: BusMembers;
  agents: readonly string[];
  services?: readonly string[];
  /** Services that somebody else runs; their commands are in `commands`. */
  without?: readonly string[];
  /**
   * How many of each service run, behind the same queue group; 1 by default. The second is called
   * `<service>-2`; its public address is that of the first.
   */
  replicas?: number;
  /**
   * The port at which a program reaches a server, e.g. that of a fault proxy; by default the server's
   * own. Asked for services; extras know their own way.
   */
  lineTo?: (program: string, server: 'nats' | 'postgres', port: number) => Promise<number>;
  /** More settings of a service, by the name of its program. */
  serviceEnv?: Readonly<Record<string, Environment>>;
  /** Databases of extras, each owned by a role of its own name. */
  databases?: readonly string[];
  extras?: Readonly<Record<string, (context: ExtraContext) => Program>>;
  /** Stops the start: what runs already is ended, and `startStack` throws. */
  signal?: AbortSignal;
  /** One line per step as it happens. */
  onProgress?: (line: string) => void;
  /** Folder of the pid files. Default `.remit/run` of the checkout. */
  runDir?: string;
  /** A service's program; its migrations are beside it. Default `services/<name>/src/main.ts`. */
  program?: (service: string) => string;
};

export type Stack = StackFiles & {
  readonly plan: StackPlan;
  /** Base URL by name: services, extras, `nats`. */
  readonly urls: Readonly<Record<string, string>>;
  readonly natsServer: NatsServer;
  readonly steps: readonly { name: string; ms: number }[];
  /** How to run each program by hand, with its environment's file, by name. */
  readonly commands: Readonly<Record<string, string>>;
  readonly processes: Supervisor;
  /** Connection URL of a role of the services' database; a secret. */
  serviceDatabaseUrl(service: string, as: 'app' | 'owner'): string;
  databaseUrl(name: string): string;
  superuserUrl(database?: string): string;
  pids(): Record<string, number>;
  process(name: string): ManagedProcess;
  stop(name: string): Promise<void>;
  /** Starts again what was stopped or has died, on the same port, and waits until it is ready. */
  start(name: string): Promise<void>;
  restart(name: string): Promise<void>;
  stopAll(): Promise<void>;
};

/**
 * Brings up the whole of Remit on this machine with real servers: nats-server and PostgreSQL of its
 * own, keys, trust file, accounts, roles and schemas, migrations, services, and extras. When it throws,
 * nothing is left running. Throws StackError; its message is for the person at the terminal.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const services = options.services ?? SERVICES;
  const without = options.without ?? [];
  const extras = options.extras ?? {};
  const replicas = services.flatMap((service) =>
    Array.from({ length: options.replicas ?? 1 }, (_, at) => ({
      service,
      name: at === 0 ? service : `${service}-${at + 1}`,
    })),
  );
  const unknown = without.find((name) => !services.includes(name) && !(name in extras));
  if (unknown !== undefined) {
    throw new StackError(
      'CONFIG_INVALID',
      `there is no ${unknown} to leave out; there are ${[...services, ...Object.keys(extras)].join(', ')}.`,
    );
  }
  const main =
    options.program ?? ((name) => join(repositoryRoot, 'services', name, 'src', 'main.ts'));
  const say = options.onProgress ?? (() => {});
  const steps: { name: string; ms: number }[] = [];
  const step = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    options.signal?.throwIfAborted();
    const start = performance.now();
    const result = await work();
    const ms = Math.round(performance.now() - start);
    steps.push({ name, ms });
    say(`${name} (${ms} ms)`);
    return result;
  };

  const runDir = options.runDir ?? join(repositoryRoot, '.remit', 'run');
  for (const name of await sweep(runDir)) say(`ended ${name}, which a killed run had left`);
  const plan = await planStack({
    ...(options.dir === undefined ? {} : { dir: options.dir }),
    ports: options.ports,
    extras: [
      ...Object.keys(extras),
      ...replicas.map(({ name }) => name).filter((name) => !services.includes(name)),
    ],
    without,
  });
  const supervisor = createSupervisor({ runDir });
  // What waits for a process that is ended here learns so at once.
  const abort = (): void => void supervisor.stopAll();
  options.signal?.addEventListener('abort', abort, { once: true });
  const stopAll = async (): Promise<void> => {
    options.signal?.removeEventListener('abort', abort);
    await supervisor.stopAll();
    if (plan.temporary) removeStack(plan.dir);
  };

  try {
    rmSync(plan.path('logs'), { recursive: true, force: true });
    const logFile = (name: string): string => plan.path('logs', `${name}.log`);
    const [natsServer, bus, roles, keys] = await step('binaries, keys and accounts', () =>
      Promise.all([
        ensureNatsServer({ say }),
        generateBus(plan.path('bus'), options.members),
        generateRoles(plan.path('roles')),
        makeKeys(plan.path('keys'), { tenants: options.tenants, agents: options.agents }),
      ]),
    );
    const trustFile = plan.path('trust.json');
    const issuerUrl = plan.url('issuer');
    writeSecret(
      trustFile,
      makeTrust(keys, { tenants: options.tenants, issuerUrl, checkpointOrigin: 'remit.local' }),
    );

    const startBus = () =>
      startNats({
        supervisor,
        binary: natsServer.path,
        configFile: bus.configFile,
        storeDir: plan.path('jetstream'),
        logFile: logFile('nats'),
        port: plan.port('nats'),
      });
    const startDatabase = () =>
      startPostgres({
        supervisor,
        logFile: logFile('postgres'),
        dataDir: plan.postgresDir,
        port: plan.port('postgres'),
        durability: 'full',
      });
    const [postgres] = await step(`nats-server ${natsServer.version} and PostgreSQL`, () =>
      Promise.all([startDatabase(), startBus()]),
    );
    await step('roles, schemas and migrations', () =>
      prepareDatabases({ plan, postgres, roles, services, main, extra: options.databases ?? [] }),
    );

    const context: ExtraContext = {
      plan,
      keys,
      bus,
      trustFile,
      databaseUrl: (name) => extraDatabaseUrl(plan, roles, name),
    };
    const lineTo = async (name: string, server: 'nats' | 'postgres') =>
      (await options.lineTo?.(name, server, plan.port(server))) ?? plan.port(server);
    const programOf = async ({ service, name }: (typeof replicas)[0]): Promise<Program> => ({
      program: main(service),
      env: {
        ...serviceEnvironment(
          service,
          { plan, keys, bus, roles },
          {
            name,
            ports: { nats: await lineTo(name, 'nats'), postgres: await lineTo(name, 'postgres') },
          },
        ),
        ...options.serviceEnv?.[name],
      },
      readyUrl: `${plan.url(name)}/readyz`,
    });
    const programs = createPrograms({
      plan,
      supervisor,
      logFile,
      services: new Map(
        await Promise.all(
          replicas.map(async (each) => [each.name, await programOf(each)] as const),
        ),
      ),
      extras: new Map(Object.entries(extras).map(([name, make]) => [name, make(context)])),
    });
    const commands = Object.fromEntries(
      programs.names.map((name) => [name, programs.command(name)]),
    );
    for (const name of without) say(`run ${name} yourself: ${commands[name]}`);
    const wanted = programs.names.filter((name) => !without.includes(name));
    await step(wanted.join(', ') || 'no program', () =>
      startPrograms(programs, wanted, without.length > 0, say),
    );

    const processOf = (name: string): ManagedProcess => {
      const found = supervisor.running().find((each) => each.name === name);
      if (found === undefined) throw new RangeError(`${name} does not run`);
      return found;
    };
    const start = async (name: string): Promise<void> => {
      if (name === 'nats') await startBus();
      else if (name === 'postgres') await startDatabase();
      else await programs.ready(name, programs.launch(name));
    };
    return {
      plan,
      keys,
      bus,
      trustFile,
      natsServer,
      steps,
      commands,
      processes: supervisor,
      urls: {
        ...Object.fromEntries(programs.names.map((name) => [name, plan.url(name)])),
        nats: `nats://127.0.0.1:${plan.port('nats')}`,
      },
      serviceDatabaseUrl: (service, as) => serviceDatabaseUrl(plan, roles, service, as),
      databaseUrl: context.databaseUrl,
      superuserUrl: postgres.superuserUrl,
      pids: () => Object.fromEntries(supervisor.running().map(({ name, pid }) => [name, pid])),
      process: processOf,
      stop: (name) => processOf(name).stop(),
      start,
      async restart(name) {
        await processOf(name).stop();
        await start(name);
      },
      stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** Starts all at once and waits for all. When some are left out, the others may have to wait for them. */
async function startPrograms(
  programs: Programs,
  names: readonly string[],
  incomplete: boolean,
  say: (line: string) => void,
): Promise<void> {
  const launched = names.map((name) => ({ name, managed: programs.launch(name) }));
  await Promise.all(
    launched.map(async ({ name, managed }) => {
      if (!incomplete) return programs.ready(name, managed);
      return programs.ready(name, managed, READY_WITHOUT_ALL_MS).catch((error: unknown) => {
        if (!(error instanceof StackError) || error.code !== 'NOT_READY') throw error;
        say(`${name} is not ready yet`);
      });
    }),
  );
}

async function prepareDatabases(options: {
  plan: StackPlan;
  postgres: RunningPostgres;
  roles: DatabaseFiles;
  services: readonly string[];
  main: (service: string) => string;
  extra: readonly string[];
}): Promise<void> {
  const { plan, postgres, roles, services, main, extra } = options;
  await prepareCluster(postgres, roles, SERVICES_DATABASE);
  for (const name of extra) {
    await ensureDatabase(postgres, { name, password: roles.extraPassword(name) });
  }
  await Promise.all(
    services.map((service) =>
      migrate(
        service,
        serviceDatabaseUrl(plan, roles, service, 'owner'),
        join(dirname(main(service)), 'migrate.ts'),
      ),
    ),
  );
}

function serviceDatabaseUrl(
  plan: StackPlan,
  roles: DatabaseFiles,
  service: string,
  as: 'app' | 'owner',
): string {
  const role = serviceRoles(service)[as];
  return databaseUrl({
    port: plan.port('postgres'),
    role,
    password: roles.password(role),
    database: SERVICES_DATABASE,
  });
}

function extraDatabaseUrl(plan: StackPlan, roles: DatabaseFiles, name: string): string {
  const password = roles.extraPassword(name);
  return databaseUrl({ port: plan.port('postgres'), role: name, password, database: name });
}
