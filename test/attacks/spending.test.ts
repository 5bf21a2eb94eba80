import type { Budget, Capability } from '@remit/capability/token';
import type { BudgetRegistration } from '@remit/contracts';
import { loadConfig } from '@remit/service-kit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { build } from '../../services/revocation/src/app.ts';
import { revocationConfig } from '../../services/revocation/src/config.ts';
import { configOf, subjectsOf, TENANT } from '../../services/revocation/src/test/rig.ts';
import { call, newId, openPoints, type Point, type Points } from './points.ts';

// Single uses and budgets, attacked at several instances of a tool with two replicas of the ledger.

let points: Points;
let instances: Point[];
let replicas: { stop(): Promise<void> }[];

beforeAll(async () => {
  points = await openPoints();
  replicas = [points.rig.app, await startReplica()];
  instances = await openInstances();
}, 60_000);
afterAll(async () => {
  await points.closeAll();
  await Promise.all(replicas.slice(1).map((replica) => replica.stop()));
  await points[Symbol.asyncDispose]();
});

async function startReplica() {
  const replica = await build(configOf(points.rig.infra));
  await replica.start();
  return replica;
}

const openInstances = (): Promise<Point[]> =>
  Promise.all((['erp-1', 'erp-1', 'erp-2', 'erp-2'] as const).map((user) => points.open(user)));
const at = (n: number): Point => instances[n % instances.length] as Point;
const ranOf = () => instances.reduce((sum, { ran }) => sum + ran.length, 0);
const read = (n: number, token: string) => call(at(n).url, points.bound(token));

/** A budget that the ledger knows, and a token's claim of it. */
async function budget(
  limit: number,
  claim: Omit<Budget, 'id'> = { unit: 'calls' },
): Promise<Budget> {
  const { epoch, seq } = await points.rig.head();
  const known: BudgetRegistration = { id: newId(), unit: claim.unit, limit, revision: 1 };
  const registration = { ...subjectsOf({ epoch, seq }), exp: Math.floor(Date.now() / 1_000) + 300 };
  const { issuer, verifier } = points.rig;
  const request = { ...registration, budgets: [known] };
  await issuer.call('revocation.register', TENANT, request, { verifier });
  return { id: known.id, ...claim };
}

/** Orders for an amount, by the PEP alone: whether the tool may run. */
async function order(n: number, { token }: { token: string }, amount: unknown) {
  const decided = await at(n).pep.decide(
    {
      authorization: `DPoP ${token}`,
      proof: points.prove(token),
      method: 'GET',
      url: 'https://erp.test/suppliers/S-100',
    },
    { action: 'orders.create', resource: 'erp/orders', args: { amount } },
  );
  return decided.allow ? 'permitted' : decided.reason;
}

// Goes red when the PEP does not consume, or when uses are kept in a process.
test('row 17: one single use at eight calls on four instances at once runs the tool once, for a child too', async () => {
  const before = ranOf();
  const USES = 25;
  const families = await Promise.all(
    Array.from({ length: USES }, async () => {
      const singleUse = newId();
      const parent = await points.mint({ singleUse });
      const child = await points.mint({
        singleUse,
        lineage: [parent.id],
        depth: { used: 1, max: 2 },
        actors: ['procurement-agent', 'risk-analyst'],
        task: parent.task,
      } satisfies Partial<Capability>);
      return [parent, child];
    }),
  );
  for (const family of families) {
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) => read(n, family[n % 2]?.token as string)),
    );
    const codes = answers.map(({ status, code }) => `${status} ${code ?? ''}`.trim()).toSorted();
    expect(codes).toEqual(['200', ...Array(7).fill('403 single_use_spent')]);
  }
  expect(ranOf() - before).toBe(USES);
});

// Goes red when accounts are not locked before they are compared (check, then record).
test('row 17: callers at once on four instances spend a budget to its end and not beyond, and nobody is refused before', async () => {
  const money = await budget(10_000_000, { unit: 'EUR', path: 'amount' });
  const token = await points.mint({ budgets: [money] });
  // In waves: proofs and signatures of all instances are made in this one process.
  const rush = async (amount: number) => {
    const answers: string[] = [];
    for (let wave = 0; wave < 4; wave++) {
      const asked = Array.from({ length: 40 }, (_, n) => order(n, token, amount));
      answers.push(...(await Promise.all(asked)));
    }
    return answers;
  };
  const count = (answers: string[], reason: string) =>
    answers.filter((answer) => answer === reason).length;

  const first = await rush(5.5);
  expect(count(first, 'permitted')).toBe(160);
  const second = await rush(10);
  expect([count(second, 'permitted'), count(second, 'budget_exceeded')]).toEqual([12, 148]);
  expect(await order(0, token, 0.0001)).toBe('budget_exceeded');
  const other = await points.mint({ budgets: [money], subject: 'alice' });
  expect(await order(1, other, 0.0001)).toBe('budget_exceeded');
});

test('row 35: an amount that is missing, negative or no exact number spends nothing and does nothing', async () => {
  const money = await budget(100_000, { unit: 'EUR', path: 'amount' });
  const token = await points.mint({ budgets: [money] });
  for (const amount of [-1, -0.0001]) expect(await order(0, token, amount)).toBe('budget_amount');
  for (const amount of [0.00001, '1', null, [1], { value: 1 }, Number.NaN]) {
    expect(await order(0, token, amount), JSON.stringify(amount)).not.toBe('permitted');
  }
  expect((await read(0, token.token)).code).toBe('budget_amount');
  expect(await order(0, token, 10)).toBe('permitted');
  expect(await order(0, token, 0.0001)).toBe('budget_exceeded');
});

// Goes red when what is spent is only remembered in the process (Keycloak, CVE-2026-9802).
test('row 18: what was spent stays spent when the ledger and every instance are started again', async () => {
  const calls = await budget(10_000);
  const once = await points.mint({ singleUse: newId() });
  const counted = await points.mint({ budgets: [calls] });
  expect([(await read(0, once.token)).status, (await read(0, counted.token)).status]).toEqual([
    200, 200,
  ]);
  await points.closeAll();
  await Promise.all(replicas.map((replica) => replica.stop()));
  replicas = [await startReplica(), await startReplica()];
  instances = await openInstances();
  for (const n of [0, 1, 2, 3]) {
    expect((await read(n, once.token)).code).toBe('single_use_spent');
    expect((await read(n, counted.token)).code).toBe('budget_exceeded');
  }
  expect(ranOf()).toBe(0);
});

// Goes red when an answer that is missing counts as a yes, or is asked for again later.
test('row 19: without the ledger nothing is spent and nothing runs; later an unknown use is refused where it was asked', async () => {
  const calls = await budget(10_000);
  const once = await points.mint({ singleUse: newId() });
  const counted = await points.mint({ budgets: [calls] });
  await Promise.all(replicas.map((replica) => replica.stop()));
  const before = ranOf();
  const [use, spent] = await Promise.all([read(0, once.token), read(1, counted.token)]);
  expect([use.status, use.code]).toEqual([503, 'single_use_unavailable']);
  expect([spent.status, spent.code]).toEqual([503, 'budget_unavailable']);
  expect(ranOf()).toBe(before);

  replicas = [await startReplica(), await startReplica()];
  await vi.waitFor(
    () => expect(instances.every(({ pep }) => pep.health().fresh)).toBe(true),
    20_000,
  );
  expect((await read(0, once.token)).code).toBe('single_use_unavailable');
  expect((await read(3, once.token)).status).toBe(200);
  expect((await read(1, counted.token)).status).toBe(200);
  expect((await read(0, counted.token)).code).toBe('budget_exceeded');
}, 60_000);

test('row 20: a retention that a token could outlive is refused when the service starts', () => {
  const env = Object.fromEntries(
    Object.entries({
      PUBLIC_URL: 'https://revocation.test',
      DATABASE_URL: 'postgres://x@localhost/x',
      NATS_URL: 'nats://localhost:4222',
      NATS_SEED: 'seed',
      TRUST_FILE: '/trust.json',
      SPOOL_DIR: '/spool',
      BUS_SIGNER_FILE: '/bus.json',
      STATUS_SIGNER_FILE: '/status.json',
      HTTP_PORT: '1',
    }).map(([name, value]) => [`REMIT_${name}`, value]),
  );
  // A task is renewed for a day, its last token lives fifteen minutes.
  for (const seconds of ['0', '900', '86400', '87300']) {
    expect(() =>
      loadConfig(revocationConfig, { ...env, REMIT_USE_RETENTION_SECONDS: seconds }),
    ).toThrow(/REMIT_USE_RETENTION_SECONDS/);
  }
});
