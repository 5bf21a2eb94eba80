import { type Bus, connectBus, createVerifier } from '@remit/bus';
import {
  type AuditRecord,
  auditMessage,
  conform,
  SIGNED,
  sourceBeat,
  streams,
  subjects,
} from '@remit/contracts';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from './app.ts';
import { ACME, load, silent, testConfig, testIdp } from './test/fixture.ts';

type Proxy = Awaited<ReturnType<TestInfra['throughProxy']>>['proxy'];

let infra: TestInfra;
let app: Awaited<ReturnType<typeof build>>;
let proxies: Record<'bus' | 'database', Proxy>;
let idp: Awaited<ReturnType<typeof testIdp>>;
let audit: Bus;

beforeAll(async () => {
  infra = await testInfra({ services: ['registry'] });
  idp = await testIdp();
  await load(infra, ACME);
  audit = await connectBus({ url: infra.natsUrl, ...infra.creds('audit'), name: 'test' });
  await audit.ensureStream(streams.AUDIT);
  const config = testConfig(infra);
  const database = await infra.throughProxy(config.databaseUrl);
  const bus = await infra.throughProxy(config.natsUrl);
  proxies = { database: database.proxy, bus: bus.proxy };
  app = await build(
    { ...config, databaseUrl: database.url, natsUrl: bus.url },
    { log: silent, fetch: idp.fetch },
  );
  await app.start();
});
afterAll(async () => {
  await app?.stop();
  await audit?.close();
  await infra?.[Symbol.asyncDispose]();
});

async function readyz() {
  const answer = await app.http.inject('/readyz');
  const { checks } = answer.json<{ checks: Record<string, { ok: boolean }> }>();
  return { status: answer.statusCode, checks };
}

/** Asks until the answer is the wanted one; returns how long that took. */
async function until(status: number): Promise<number> {
  const started = performance.now();
  await expect
    .poll(async () => (await readyz()).status, { timeout: 10_000, interval: 20 })
    .toBe(status);
  return performance.now() - started;
}

describe('readiness', () => {
  it.each(['database', 'bus'] as const)(
    'goes within 2 s when the %s is cut or hangs, and comes back without a restart',
    async (name) => {
      await until(200);
      for (const fault of ['cut', 'freeze'] as const) {
        proxies[name][fault]();
        expect(await until(503)).toBeLessThan(2_000);
        expect((await readyz()).checks[name]?.ok).toBe(false);
        expect((await app.http.inject('/livez')).statusCode).toBe(200);
        proxies[name].heal();
        await until(200);
      }
    },
    30_000,
  );
});

describe('the feed', () => {
  // Red when a beat is sent without asking the database for the head.
  it('does not beat while the database is away', async () => {
    const listener = await connectBus({
      url: infra.natsUrl,
      ...infra.creds('revocation'),
      name: 'test',
    });
    try {
      const times: number[] = [];
      const verifier = createVerifier(infra.trust().keys.registry);
      listener.subscribe(subjects.registryBeat, (_, bytes) => {
        const text = Buffer.from(verifier.verify(SIGNED.beat, bytes)).toString();
        times.push(conform(sourceBeat, JSON.parse(text)).time);
      });
      await expect.poll(() => times.length, { timeout: 3_000 }).toBeGreaterThan(0);
      const cutAt = Date.now();
      proxies.database.cut();
      await until(503);
      const healedAt = Date.now();
      proxies.database.heal();
      await expect.poll(() => times.at(-1), { timeout: 5_000 }).toBeGreaterThan(healedAt);
      // A beat whose head was read before the cut may be a few milliseconds younger than the cut.
      expect(times.filter((time) => time > cutAt + 50 && time < healedAt)).toEqual([]);
    } finally {
      proxies.database.heal();
      await listener.close();
    }
  });
});

describe('a database that is away', () => {
  it('makes an administrator try again, with nothing changed', async () => {
    await until(200);
    const headers = { authorization: `Bearer ${await idp.token('d-1')}` };
    proxies.database.cut();
    const answer = await app.http.inject({
      method: 'POST',
      url: '/t/acme/users/alice/disable',
      headers,
    });
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({ code: 'UNAVAILABLE' });
    proxies.database.heal();
    await until(200);
    const after = await app.http.inject({ url: '/t/acme/users/alice', headers });
    expect(after.json()).toMatchObject({ status: 'active' });
  });
});

describe('the audit subject', () => {
  it('gets the load and an administrator’s change, with the user as a commitment', async () => {
    const records: AuditRecord[] = [];
    const bodies: string[] = [];
    const consumption = audit.consume(
      { stream: 'AUDIT', durable: 'ingest', consumer: {} },
      async (messages) => {
        for (const { data } of messages) {
          const event = JSON.parse(Buffer.from(data).toString()) as { data: unknown };
          const { record } = conform(auditMessage, event.data);
          records.push(record);
          bodies.push(JSON.stringify(record));
        }
      },
    );
    await consumption.ready;
    const headers = { authorization: `Bearer ${await idp.token('d-1')}` };
    await app.http.inject({ method: 'POST', url: '/t/acme/users/alice/disable', headers });
    await expect
      .poll(() => records.map(({ event }) => event).toSorted(), { timeout: 10_000 })
      .toEqual(expect.arrayContaining(['admin.registry_changed', 'admin.registry_loaded']));
    expect(records.find(({ event }) => event === 'admin.registry_changed')).toMatchObject({
      tenant: 'acme',
      decision: 'allow',
      principal: { c: expect.any(String) },
      operation: {
        action: 'registry.users.disable',
        resource: 'registry/users',
        args: { id: { c: expect.any(String) } },
      },
      registry_revision: 2,
      detail: { changed: true },
    });
    expect(records.find(({ event }) => event === 'admin.registry_loaded')).toMatchObject({
      registry_revision: 1,
      detail: { 'user.created': 3, 'agent.created': 1 },
    });
    expect(bodies.join('')).not.toMatch(/alice|dora/);
  });
});

describe('metrics', () => {
  it('name at least these', async () => {
    const { body } = await app.http.inject('/metrics');
    const names = [...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'remit_build_info',
        'remit_bus_connected',
        'remit_bus_reconnects_total',
        'remit_db_pool_connections',
        'remit_event_loop_lag_seconds',
        'remit_http_request_seconds',
        'remit_http_requests_total',
        'remit_outbox_lag_seconds',
        'remit_outbox_unsent',
        'remit_process_resident_memory_bytes',
        'remit_records_total',
        'remit_rpc_called_total',
        'remit_rpc_served_total',
        'remit_spool_bytes',
        'remit_spool_records',
      ]),
    );
    expect(body).toContain('remit_http_requests_total{method="GET",route="/readyz",status="503"}');
  });
});
