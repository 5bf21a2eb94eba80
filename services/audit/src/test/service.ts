import { join } from 'node:path';
import { type Bus, connectBus, createVerifier } from '@remit/bus';
import { type AuditMark, SIGNED, subjects } from '@remit/contracts';
import { createLogger } from '@remit/service-kit';
import { type TestInfra, testInfra } from '@remit/testkit';
import type { LightMyRequestResponse } from 'fastify';
import pg from 'pg';
import { build } from '../app.ts';
import type { AuditConfig } from '../config.ts';
import type { RawMessage } from '../ingest/admit.ts';
import { startPeople, type TestPeople } from './people.ts';

const PUBLIC_URL = 'http://audit.test';

/** The audit service as production builds it, on real servers, with real people. */
export type TestService = AsyncDisposable & {
  infra: TestInfra;
  app: Awaited<ReturnType<typeof build>>;
  people: TestPeople;
  config: AuditConfig;
  /** Another connection of the same service user: publishes records under its name. */
  issuer: Bus;
  /** Publishes messages of the issuer in their order. */
  send(messages: readonly RawMessage[]): Promise<void>;
  /** Resolves when a signed mark says that the issuer's boot is committed up to `n`. */
  marked(boot: string, n: number): Promise<AuditMark>;
  /** Asks as a person; default: the auditor. */
  get(path: string, as?: string): Promise<LightMyRequestResponse>;
  /** The same with a body or another method; default: the administrator. */
  change(
    method: 'DELETE' | 'POST',
    path: string,
    body?: object,
    as?: string,
  ): Promise<LightMyRequestResponse>;
  sql(text: string): Promise<Record<string, unknown>[]>;
  alarms: Record<string, unknown>[];
  proxies?: Record<'bus' | 'database', Proxy>;
};

type Proxy = Awaited<ReturnType<TestInfra['throughProxy']>>['proxy'];

/** `faults`: database and bus are reached through fault proxies. */
export async function testService(
  changes: Partial<AuditConfig> = {},
  { faults = false } = {},
): Promise<TestService> {
  const cleanup = new AsyncDisposableStack();
  try {
    const infra = cleanup.use(await testInfra({ services: ['audit'] }));
    const people = cleanup.use(await startPeople(infra, `${PUBLIC_URL}/t/acme`));
    const base = infra.serviceConfig('audit', PUBLIC_URL);
    const database = faults ? await infra.throughProxy(base.databaseUrl) : undefined;
    const nats = faults ? await infra.throughProxy(base.natsUrl) : undefined;
    const config: AuditConfig = {
      ...base,
      ...(database && nats ? { databaseUrl: database.url, natsUrl: nats.url } : {}),
      busSignerFile: infra.keys.signerFile('audit-bus'),
      checkpointSignerFile: infra.keys.signerFile('audit-checkpoint'),
      checkpointDir: join(infra.tmpDir, 'checkpoints'),
      anchorSeconds: 1,
      s3Bucket: 'remit-checkpoints',
      s3Prefix: 'checkpoints',
      s3Region: 'us-east-1',
      checkpointRecords: 4,
      checkpointSeconds: 1,
      retentionDays: 0,
      gapSeconds: 1,
      streamReplicas: 1,
      siemDurables: 'siem',
      ...changes,
    };
    const alarms: Record<string, unknown>[] = [];
    const destination = {
      write: (line: string) => void alarms.push(JSON.parse(line) as Record<string, unknown>),
    };
    const log = createLogger({ service: 'audit', instance: 't', level: 'error', destination });
    const app = await build(config, { log, fetch: people.fetch });
    cleanup.defer(() => app.stop());
    await app.start();
    const { user, seed } = infra.creds('issuer');
    const issuer = cleanup.use(
      await connectBus({ url: infra.natsUrl, user, seed, name: 'test-issuer' }),
    );
    const owner = new pg.Client({ connectionString: infra.ownerUrl('audit') });
    await owner.connect();
    cleanup.defer(() => owner.end());
    await owner.query("select set_config('remit.tenant', 'acme', false)");
    const verifier = createVerifier(infra.trust().keys.audit_mark);
    return {
      infra,
      app,
      people,
      config,
      issuer,
      alarms,
      ...(database && nats ? { proxies: { database: database.proxy, bus: nats.proxy } } : {}),
      async send(messages) {
        for (const { subject, data } of messages) {
          await issuer.publishRecord(subject, data, crypto.randomUUID());
        }
      },
      marked(boot, n) {
        const { promise, resolve } = Promise.withResolvers<AuditMark>();
        const subscription = issuer.subscribe(subjects.auditMark('acme', 'issuer'), (_, bytes) => {
          const payload = verifier.verify(SIGNED.mark, bytes);
          const mark = JSON.parse(Buffer.from(payload).toString()) as AuditMark;
          if (!mark.marks.some((one) => one.boot === boot && one.n >= n)) return;
          subscription.stop();
          resolve(mark);
        });
        return promise;
      },
      get: async (path, as = 'erin') =>
        app.http.inject({ url: `/t/acme${path}`, headers: await people.signIn(as) }),
      change: async (method, path, body, as = 'dora') =>
        app.http.inject({
          method,
          url: `/t/acme${path}`,
          headers: await people.signIn(as),
          ...(body === undefined ? {} : { payload: body }),
        }),
      sql: async (text) => (await owner.query(text)).rows as Record<string, unknown>[],
      [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
    };
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }
}
