import {
  type Bus,
  connectBus,
  createVerifier,
  type Handlers,
  type Signer,
  type Verifier,
} from '@remit/bus';
import type { SERVICES, TrustedKeys, TrustFile } from '@remit/contracts';
import { createRecorder, type Recorder } from '@remit/recorder';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { baseConfig } from '../config/base-config.ts';
import { createDatabase, type Database } from '../data/database.ts';
import { createHttpApp } from '../http/app.ts';
import type { Fetch } from '../identity/bounded-fetch.ts';
import { createLookupClient, type Directory } from '../identity/directory.ts';
import { createIdpKeys, type IdpKeys } from '../identity/idp-keys.ts';
import { createPeopleAuth, type PeopleAuth, strangerCounter } from '../identity/people.ts';
import { type Clock, systemClock } from '../process/clock.ts';
import { createHealth, type Health, NotReady } from '../process/health.ts';
import { readTrustFile } from '../process/key-files.ts';
import { createLifecycle, type Lifecycle } from '../process/lifecycle.ts';
import { createLogger, type Logger } from '../process/log.ts';
import { createMetrics, type Metrics } from '../process/metrics.ts';
import type { App } from '../process/run-service.ts';
import { countCalls, countRecords, countServed } from './instrument.ts';

const baseSchema = Type.Object(baseConfig, { additionalProperties: false });
export type BaseConfig = Static<typeof baseSchema>;

/** Services that answer over the bus. */
export type RpcCallee = Parameters<Bus['serve']>[0];

/** What tests hand in; everything has a default. */
export type KitDeps = {
  log?: Logger;
  instance?: string;
  clock?: Clock;
  fetch?: Fetch;
};

/** What every service stands on. Parts end by themselves when the app stops. */
export type Kit<DB> = {
  readonly name: string;
  readonly version: string;
  readonly instance: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly health: Health;
  readonly lifecycle: Lifecycle;
  readonly trust: TrustFile;
  /** Verifiers of the trust file's pinned keys, one per signing purpose. */
  readonly verifiers: Verifiers;
  readonly bus: Bus;
  readonly database: Database<DB>;
  readonly recorder: Recorder;
  readonly http: FastifyInstance;
  readonly idpKeys: IdpKeys;
  /** The registry over the bus; the registry itself has its own. */
  readonly directory: Directory;
  /** People of a tenant's identity provider, looked up through `directory`. */
  readonly people: PeopleAuth;
  /** This service as the audience of people's tokens: `<publicUrl>/t/<tenant>`. */
  readonly audience: (tenant: string) => string;
  /** Serves this service's methods, counted; errors become wire errors. Stops with the app. */
  readonly serve: <C extends RpcCallee>(
    callee: C,
    handlers: NoInfer<Handlers<C>>,
    signer: Signer,
    options?: { maxInFlight?: number },
  ) => void;
  /** Publishes the public halves of the service's signing keys at `/.well-known/jwks.json`. */
  readonly publishKeys: (signers: () => readonly Signer[]) => void;
  /** The app: `start` runs, then dependencies are checked, then it listens. */
  readonly app: (parts: {
    start?: () => Promise<void> | void;
    reload?: () => Promise<void>;
  }) => App & { http: FastifyInstance };
};

type Verifiers = Readonly<Record<TrustedKeys, Verifier>>;

const DATABASE_WITHIN_MS = 10_000;

/**
 * Opens what every service stands on, from its configuration: trust file, logs, metrics, health,
 * database, bus, recorder, HTTP, people. Waits up to 10 s for PostgreSQL and NATS. When a part fails,
 * those before it are closed again.
 */
export async function openKit<DB>(options: {
  name: (typeof SERVICES)[number];
  version: string;
  config: BaseConfig;
  /** PostgreSQL schema; the service's name by default. */
  schema?: string;
  deps?: KitDeps;
}): Promise<Kit<DB>> {
  const { name, version, config, schema = options.name, deps = {} } = options;
  const instance = deps.instance ?? config.instance ?? crypto.randomUUID().slice(0, 8);
  const log = deps.log ?? createLogger({ service: name, instance, level: config.logLevel });
  const clock = deps.clock ?? systemClock;
  const trust = readTrustFile(config.trustFile);
  const verifiers = verifiersOf(trust);
  const metrics = createMetrics({ service: name, version });
  const health = createHealth({ log });
  const lifecycle = createLifecycle({ log });
  lifecycle.onStopping(health.stop);
  try {
    const database = await openDatabase<DB>({ config, schema, log, lifecycle, health, metrics });
    const bus = await openBus({ name, instance, config, log, lifecycle, health, metrics });
    const recorder = openRecorder({
      name,
      version,
      instance,
      config,
      // its own clock has microseconds
      clock: deps.clock,
      bus,
      markVerifier: verifiers.audit_mark,
      log,
      lifecycle,
      health,
      metrics,
    });
    const http = createHttpApp({ log, metrics, health, publicUrl: config.publicUrl });
    lifecycle.onStop('http', 'http', () => http.close());
    lifecycle.onStop('database', 'metrics', metrics.stop);
    const idpKeys = createIdpKeys({ clock, ...(deps.fetch ? { fetch: deps.fetch } : {}) });
    const directory = createLookupClient({ bus, verifier: verifiers.registry });
    const audience = (tenant: string): string => `${config.publicUrl}/t/${tenant}`;
    return {
      name,
      version,
      instance,
      log,
      clock,
      metrics,
      health,
      lifecycle,
      trust,
      verifiers,
      bus,
      database,
      recorder,
      http,
      idpKeys,
      directory,
      people: createPeopleAuth({
        directory,
        keys: idpKeys,
        audience,
        onStranger: strangerCounter(recorder, trust),
      }),
      audience,
      serve: (callee, handlers, signer, limits = {}) => {
        const served = bus.serve(callee, countServed(callee, handlers, metrics), {
          signer,
          ...limits,
          onError: (error, context) =>
            log.error({ err: error, ...context }, 'a request failed inside'),
        });
        const micro = bus.respondToMicro({ name, version });
        lifecycle.onStop('consumers', `serve ${callee}`, async () => {
          micro.stop();
          await served.stop();
        });
      },
      publishKeys: (signers) => {
        http.get('/.well-known/jwks.json', async (_request, reply) => {
          void reply.header('cache-control', 'public, max-age=60');
          return { keys: signers().flatMap((signer) => signer.publicJwks().keys) };
        });
      },
      app: ({ start, reload }) => ({
        http,
        start: async () => {
          await start?.();
          await health.poll();
          health.start();
          await http.listen({ host: config.httpHost, port: config.httpPort });
        },
        stop: lifecycle.stop,
        ...(reload ? { reload } : {}),
      }),
    };
  } catch (error) {
    metrics.stop();
    await lifecycle.stop();
    throw error;
  }
}

function verifiersOf(trust: TrustFile): Verifiers {
  // Checkpoints are notes with keys of more than one kind; whoever reads them checks them.
  const { checkpoint: _notes, ...purposes } = trust.keys;
  const entries = Object.entries(purposes).map(([name, keys]) => [name, createVerifier(keys)]);
  return Object.freeze(Object.fromEntries(entries) as Verifiers);
}

type Parts = {
  config: BaseConfig;
  log: Logger;
  lifecycle: Lifecycle;
  health: Health;
  metrics: Metrics;
};

async function openDatabase<DB>(parts: Parts & { schema: string }): Promise<Database<DB>> {
  const { config, schema, log, lifecycle, health, metrics } = parts;
  const options = { url: config.databaseUrl, schema, log, insecure: config.insecureDatabase };
  const deadline = Date.now() + DATABASE_WITHIN_MS;
  for (;;) {
    try {
      const database = await createDatabase<DB>(options);
      lifecycle.onStop('database', 'database', database.close);
      health.add('database', database.ping);
      metrics.gauge('remit_db_pool_connections', 'Connections of the pool by state.', () => {
        const { total, idle, waiting } = database.stats();
        return [
          { labels: { state: 'open' }, value: total },
          { labels: { state: 'idle' }, value: idle },
          { labels: { state: 'waited_for' }, value: waiting },
        ];
      });
      return database;
    } catch (error) {
      if (!isAway(error) || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

/** Nobody listens yet, or PostgreSQL is starting up (57P03): worth another try. */
function isAway(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return (
    code === 'ECONNREFUSED' || code === '57P03' || code === 'ENOTFOUND' || code === 'EAI_AGAIN'
  );
}

async function openBus(parts: Parts & { name: string; instance: string }): Promise<Bus> {
  const { name, instance, config, log, lifecycle, health, metrics } = parts;
  const bus = await connectBus({
    url: config.natsUrl,
    user: config.natsUser ?? name,
    seed: config.natsSeed,
    name: `${name}-${instance}`,
    instance,
    production: config.production,
    log,
  });
  lifecycle.onStop('bus', 'bus', () => bus.close());
  health.add('bus', async () => {
    if (bus.status() !== 'connected') throw new NotReady(`the bus is ${bus.status()}`);
    await bus.flush();
  });
  return countCalls(bus, metrics);
}

function openRecorder(
  parts: Parts & {
    name: string;
    version: string;
    instance: string;
    clock: Clock | undefined;
    bus: Bus;
    markVerifier: Verifier;
  },
): Recorder {
  const { name, version, instance, config, clock, bus, markVerifier, log } = parts;
  const recorder = createRecorder({
    bus,
    producer: { service: config.natsUser ?? name, instance, version },
    spoolDir: config.spoolDir,
    markVerifier,
    log,
    ...(clock ? { clock } : {}),
  });
  parts.lifecycle.onStop('recorder', 'recorder', recorder.close);
  parts.health.add('audit spool', () => {
    if (recorder.stats().broken) throw new NotReady('audit records cannot be written to the disk');
  });
  const { metrics } = parts;
  metrics.gauge('remit_spool_records', 'Audit records that no commit mark has passed.', () => {
    return recorder.stats().pending;
  });
  metrics.gauge('remit_spool_bytes', 'Bytes of these records on the disk.', () => {
    return recorder.stats().liveBytes;
  });
  return countRecords(recorder, metrics);
}
