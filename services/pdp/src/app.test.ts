import { connectBus, createVerifier } from '@remit/bus';
import {
  conform,
  type EvaluateRequest,
  SIGNED,
  type SourceBeat,
  sourceBeat,
} from '@remit/contracts';
import type { TestInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIENCE, everything, summary } from './test/fixtures.ts';
import { startWorld, type World } from './test/world.ts';

type TcpProxy = Awaited<ReturnType<TestInfra['throughProxy']>>['proxy'];

let world: World;
let databaseProxy: TcpProxy;
let busProxy: TcpProxy;

beforeAll(async () => {
  world = await startWorld(async (infra) => {
    const database = await infra.throughProxy(infra.databaseUrl('pdp'));
    const bus = await infra.throughProxy(infra.natsUrl);
    databaseProxy = database.proxy;
    busProxy = bus.proxy;
    return { databaseUrl: database.url, natsUrl: bus.url };
  });
});
afterAll(() => world?.[Symbol.asyncDispose]());

const readyz = async () => {
  const answer = await world.pdp.http.inject('/readyz');
  return {
    status: answer.statusCode,
    body: answer.json<{ checks: Record<string, { ok: boolean }> }>(),
  };
};

/** Resolves when `/readyz` answers so; the suite's time limit is the judge of never. */
async function readyIs(status: number): Promise<number> {
  const started = performance.now();
  await expect.poll(async () => (await readyz()).status, { timeout: 10_000 }).toBe(status);
  return performance.now() - started;
}

/** The next beats, as revocation would read them. */
async function followBeats() {
  const { infra } = world;
  const bus = await connectBus({
    url: infra.natsUrl,
    ...infra.creds('revocation'),
    name: 'beat-follower',
  });
  const verifier = createVerifier({ keys: infra.trust().keys.pdp });
  const seen: (SourceBeat & { at: number })[] = [];
  let wake = (): void => undefined;
  bus.subscribe('remit.beat.pdp', (_subject, bytes) => {
    const payload = verifier.verify(SIGNED.beat, Buffer.from(bytes).toString('ascii'));
    const beat = conform(sourceBeat, JSON.parse(Buffer.from(payload).toString()));
    seen.push({ ...beat, at: performance.now() });
    wake();
  });
  await bus.flush();
  return {
    seen,
    until: async (enough: () => boolean): Promise<void> => {
      while (!enough()) await new Promise<void>((next) => (wake = next));
    },
    [Symbol.asyncDispose]: bus.close,
  };
}

const call: EvaluateRequest = {
  actors: ['procurement-agent'],
  user: 'alice',
  client: 'procurement-agent',
  task: { id: 'task_A', type: summary.id },
  audience: AUDIENCE,
  scope: everything,
  operation: { action: 'suppliers.read', resource: 'erp/suppliers/S-100', args: {} },
};

describe('the pdp', () => {
  it('is live and ready, has its keys and at least ten metrics of its own', async () => {
    expect(await readyIs(200)).toBeLessThan(2_000);
    expect((await readyz()).body.checks).toMatchObject({
      database: { ok: true },
      bus: { ok: true },
      'audit spool': { ok: true },
    });
    expect((await world.pdp.http.inject('/livez')).statusCode).toBe(200);
    const keys = (await world.pdp.http.inject('/.well-known/jwks.json')).json<{
      keys: unknown[];
    }>();
    expect(keys.keys).toEqual(world.infra.trust().keys.pdp);
    const metrics = (await world.pdp.http.inject('/metrics')).body;
    const names = new Set(
      metrics.matchAll(/^# TYPE (remit_pdp_[a-z_]+)/gm).map((match) => match[1]),
    );
    expect(names).toEqual(
      new Set([
        'remit_pdp_authzen_total',
        'remit_pdp_beats_total',
        'remit_pdp_cedar_evaluations',
        'remit_pdp_cedar_slice_hits',
        'remit_pdp_cedar_slices_prepared',
        'remit_pdp_decision_seconds',
        'remit_pdp_decisions_total',
        'remit_pdp_external_total',
        'remit_pdp_minted_permissions_total',
        'remit_pdp_outbox_unsent',
        'remit_pdp_policy_errors_total',
        'remit_pdp_registry_data_refused_total',
        'remit_pdp_shadow_dropped_total',
      ]),
    );
  });

  it('beats with the head of its policy events, about every 250 ms', async () => {
    await using beats = await followBeats();
    await beats.until(() => beats.seen.length >= 4);
    const [first, , , fourth] = beats.seen as [(typeof beats.seen)[0], ...typeof beats.seen];
    expect(fourth).toMatchObject({ source: 'pdp', boot: first?.boot, n: (first?.n ?? 0) + 3 });
    const dora = await world.token('dora');
    const headers = { authorization: `Bearer ${dora}` };
    const made = await world.pdp.http.inject({
      method: 'POST',
      url: '/t/acme/admin/v1/policies',
      headers,
      payload: {
        message: 'm',
        files: {
          'a.cedar': '@id("a") forbid (principal, action == Action::"suppliers.export", resource);',
        },
      },
    });
    const { version } = made.json<{ version: string }>();
    await world.pdp.http.inject({
      method: 'POST',
      url: `/t/acme/admin/v1/policies/${version}/activate`,
      headers,
    });
    await beats.until(() => beats.seen.at(-1)?.head === 1);
  });

  // Beat on with the last head that was read, and this goes red: silence is what says "nobody knows".
  it('is silent and not ready while the database is away, and comes back by itself', async () => {
    await using beats = await followBeats();
    await beats.until(() => beats.seen.length > 0);
    databaseProxy.cut();
    expect(await readyIs(503)).toBeLessThan(2_000);
    const count = beats.seen.length;
    await expect(evaluateAsPep()).rejects.toMatchObject({ code: 'CALL_REFUSED' });
    expect(beats.seen.length).toBe(count);
    databaseProxy.heal();
    await readyIs(200);
    await beats.until(() => beats.seen.length > count);
    expect((await evaluateAsPep()).decision).toBe('allow');
  });

  it('is not ready while the bus is away', async () => {
    busProxy.cut();
    expect(await readyIs(503)).toBeLessThan(2_000);
    busProxy.heal();
    await readyIs(200);
    expect((await evaluateAsPep()).decision).toBe('allow');
  });

  // Last: it ends the registry.
  it('decides nothing while the registry is away', async () => {
    await world.registry[Symbol.asyncDispose]();
    await expect(evaluateAsPep()).rejects.toMatchObject({
      code: expect.stringMatching(/CALL_REFUSED|CALL_TIMEOUT/),
    });
  });
});

async function evaluateAsPep() {
  const { infra } = world;
  await using bus = await connectBus({
    url: infra.natsUrl,
    ...infra.pepCreds('acme', 'erp-1'),
    name: 'erp-1',
  });
  const verifier = createVerifier({ keys: infra.trust().keys.pdp });
  return await bus.call('pdp.evaluate', 'acme', call, { verifier });
}
