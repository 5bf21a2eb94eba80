import { cpSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrustFile } from '@remit/contracts';
import {
  type BusMembers,
  createSupervisor,
  ensureNatsServer,
  generateBus,
  type KeyFiles,
  type KeyPurpose,
  makeKeys,
  makeTrust,
  type RunningNats,
  readSigner,
  type SignerFile,
  startNats,
  startTcpProxy,
  type TcpProxy,
  writeSecret,
} from '@remit/stack';
import { inject } from 'vitest';
import { brokeredServers } from './broker.ts';
import { removeFolder } from './folders.ts';
import { givenBus } from './given-bus.ts';
import { DEFAULT_MEMBERS } from './members.ts';
import { seededKeys } from './seeded-keys.ts';
import { type TestDatabase, type TestServers, testRunDir } from './servers.ts';

export type TestInfraOptions = {
  /** Services that need a database. Default: none. */
  services?: readonly string[];
  /** PEPs by tenant that are on the bus beside the default ones. */
  peps?: Readonly<Record<string, readonly string[]>>;
  /** SIEMs beside the default one. */
  siems?: readonly string[];
  /** Agents that get a client key and a proof key. Default: procurement-agent. */
  agents?: readonly string[];
  /** The issuer's public URL in the trust file. Default http://issuer.test */
  issuerUrl?: string;
  /** `false`: no nats-server; `own`: never a given one. Default true. */
  nats?: boolean | 'own';
  /** Where the servers come from. Default: those of the running test run. */
  servers?: TestServers;
};

export type Credentials = { user: string; seed: string; seedFile: string };

/** What every service's configuration holds, in the names of its schema. */
export type ServiceConfig = {
  httpHost: string;
  httpPort: number;
  publicUrl: string;
  databaseUrl: string;
  natsUrl: string;
  natsUser: string;
  natsSeed: string;
  trustFile: string;
  spoolDir: string;
  logLevel: 'fatal';
  production: boolean;
  /** The run's PostgreSQL is fast instead of durable. */
  insecureDatabase: boolean;
};

/** Sees every chunk before a proxy carries it on. */
type ProxyTap = NonNullable<Parameters<typeof startTcpProxy>[0]['tap']>;

/** The nats-server of a test file, whatever runs it. */
export type TestNats = Pick<RunningNats, 'url' | 'port' | 'reload' | 'stop'>;

export type TestInfra = AsyncDisposable & {
  readonly natsUrl: string;
  readonly nats: TestNats;
  /** The credentials of a service, of `operator`, of a SIEM or of the server’s own `sys`. */
  creds(user: string): Credentials;
  /** The credentials of a PEP. */
  pepCreds(tenant: string, pep: string): Credentials;
  /** The URL that a service connects with: its role without DDL. */
  databaseUrl(service: string): string;
  /** The URL that its migrations connect with. */
  ownerUrl(service: string): string;
  readonly keys: KeyFiles;
  signer(purpose: KeyPurpose): SignerFile;
  trust(): TrustFile;
  readonly trustFile: string;
  readonly tmpDir: string;
  /** The configuration of a service that was asked for, for its `build`; add its own fields. */
  serviceConfig(service: string, publicUrl?: string): ServiceConfig;
  /** A fault proxy in front of a nats:// or postgres:// URL, and the URL through it. */
  throughProxy(url: string, tap?: ProxyTap): Promise<{ url: string; proxy: TcpProxy }>;
  /** Deletes every stream and consumer of the services under their feet: a server without its store. */
  wipeStreams(): Promise<void>;
  /** Puts PEPs on the running bus, by writing its configuration again and SIGHUP. */
  addPeps(peps: Readonly<Record<string, readonly string[]>>): Promise<void>;
};

/**
 * Real servers for one test file: a nats-server of its own with the production configuration, and for
 * each service a database of its own, cloned from a migrated template. Keys follow from a fixed seed.
 * Everything ends with `await using`.
 */
export async function testInfra(options: TestInfraOptions = {}): Promise<TestInfra> {
  const servers = options.servers ?? brokeredServers(inject('remitTestBroker'));
  const tmpDir = mkdtempSync(join(servers.dir, 'file-'));
  const supervisor = createSupervisor({ runDir: testRunDir });
  const cleanup = new AsyncDisposableStack();
  cleanup.defer(() => removeFolder(tmpDir));
  cleanup.defer(() => supervisor.stopAll());
  try {
    let members = withDefaults(options);
    const tenants = Object.keys(members.peps);
    const [bus, databases, keys] = await Promise.all([
      options.nats === false ? undefined : startBus(options, members),
      Promise.all((options.services ?? []).map((service) => cloneDatabase(service))),
      makeKeys(
        join(tmpDir, 'keys'),
        { tenants, agents: options.agents ?? ['procurement-agent'] },
        seededKeys(),
      ),
    ]);
    const byService = new Map(databases);
    const trust = makeTrust(keys, {
      tenants,
      issuerUrl: options.issuerUrl ?? 'http://issuer.test',
      checkpointOrigin: 'remit.test',
    });
    const trustFile = join(tmpDir, 'trust.json');
    writeSecret(trustFile, trust);

    const databaseOf = (service: string): TestDatabase => {
      const found = byService.get(service);
      if (found === undefined) throw new Error(`testInfra was not asked for ${service}'s database`);
      return found;
    };
    const started = (): Bus => {
      if (bus === undefined) throw new Error('testInfra was asked for no nats-server');
      return bus;
    };
    const read = (user: string, seedFile: string): Credentials => ({
      user,
      seed: readFileSync(seedFile, 'utf8'),
      seedFile,
    });
    return {
      get natsUrl() {
        return started().nats.url;
      },
      get nats() {
        return started().nats;
      },
      creds(user) {
        const own = members.siems.includes(user) ? `SIEM_${user}` : 'REMIT';
        const account = user === 'sys' ? 'SYS' : own;
        return read(user, join(started().dir, 'seeds', account, `${user}.seed`));
      },
      pepCreds: (tenant, pep) =>
        read(pep, join(started().dir, 'seeds', `PEP_${tenant}_${pep}`, `${pep}.seed`)),
      databaseUrl: (service) => databaseOf(service).url,
      ownerUrl: (service) => databaseOf(service).ownerUrl,
      keys,
      signer: (purpose) => readSigner(keys.signerFile(purpose)),
      trust: () => trust,
      trustFile,
      tmpDir,
      serviceConfig(service, publicUrl = `http://${service}.test`) {
        const spoolDir = join(tmpDir, 'spool', service);
        mkdirSync(spoolDir, { recursive: true, mode: 0o700 });
        return {
          httpHost: '127.0.0.1',
          httpPort: 0,
          publicUrl,
          databaseUrl: databaseOf(service).url,
          natsUrl: started().nats.url,
          natsUser: service,
          natsSeed: read(service, join(started().dir, 'seeds', 'REMIT', `${service}.seed`)).seed,
          trustFile,
          spoolDir,
          logLevel: 'fatal',
          production: false,
          insecureDatabase: true,
        };
      },
      wipeStreams: () => givenBus({ url: started().nats.url, dir: started().dir }).clear(),
      async throughProxy(url, tap) {
        const target = new URL(url);
        const proxy = await startTcpProxy({
          target: { host: target.hostname, port: Number(target.port) },
          ...(tap ? { tap } : {}),
        });
        cleanup.defer(() => proxy.close());
        target.hostname = '127.0.0.1';
        target.port = String(proxy.port);
        return { url: target.href.replace(/\/$/, ''), proxy };
      },
      async addPeps(peps) {
        members = withDefaults({ ...options, peps: { ...members.peps, ...peps } });
        if (started().dir !== join(tmpDir, 'bus')) return servers.admitToBus(members);
        await generateBus(started().dir, members);
        await started().nats.reload();
      },
      [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
    };
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }

  type Bus = { nats: TestNats; dir: string };

  async function startBus(wanted: TestInfraOptions, members: BusMembers): Promise<Bus> {
    const shared = await servers.bus();
    const given = 'url' in shared.source;
    if ('url' in shared.source && wanted.nats !== 'own') {
      return borrowBus(shared.source.url, shared.dir, members);
    }
    const dir = join(tmpDir, 'bus');
    // A copy, so that a test file may put more on its bus without touching anybody else's.
    if (!given) cpSync(shared.dir, dir, { recursive: true });
    if (given || wanted.peps !== undefined || wanted.siems !== undefined) {
      await generateBus(dir, members);
    }
    if ('image' in shared.source) {
      const { startNatsContainer } = await import('./containers.ts');
      const nats = await startNatsContainer({ image: shared.source.image, dir });
      cleanup.defer(() => nats.stop());
      return { nats, dir };
    }
    const nats = await startNats({
      supervisor,
      binary: 'binary' in shared.source ? shared.source.binary : (await ensureNatsServer()).path,
      configFile: join(dir, 'nats.json'),
      logFile: join(tmpDir, 'nats.log'),
    });
    return { nats, dir };
  }

  /** A given server goes from file to file: it is emptied, and lets in who is missing. */
  async function borrowBus(url: string, dir: string, members: BusMembers): Promise<Bus> {
    await servers.admitToBus(members);
    await servers.clearBus();
    const nats: TestNats = {
      url,
      port: Number(new URL(url).port),
      reload: () => Promise.resolve(),
      stop: () => Promise.reject(new Error('a given nats-server is not ours to stop')),
    };
    return { nats, dir };
  }

  async function cloneDatabase(service: string): Promise<[string, TestDatabase]> {
    const database = await servers.database(service);
    cleanup.defer(() => servers.dropDatabase(database.name));
    return [service, database];
  }
}

function withDefaults(options: TestInfraOptions): BusMembers {
  const peps: Record<string, readonly string[]> = { ...DEFAULT_MEMBERS.peps };
  for (const [tenant, names] of Object.entries(options.peps ?? {})) {
    peps[tenant] = [...new Set([...(peps[tenant] ?? []), ...names])];
  }
  return { peps, siems: [...new Set([...DEFAULT_MEMBERS.siems, ...(options.siems ?? [])])] };
}
