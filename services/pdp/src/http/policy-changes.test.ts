import { randomUUID } from 'node:crypto';
import { type Bus, connectBus, createSigner, createVerifier } from '@remit/bus';
import { type EvaluateRequest, makeCloudEvent, SIGNED, subjects } from '@remit/contracts';
import { createDatabase, createLogger } from '@remit/service-kit';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from '../app.ts';
import { AUDIENCE, erp, everything, summary } from '../test/fixtures.ts';
import { startWorld, type World } from '../test/world.ts';

// Two replicas of the pdp on one database and one bus.

let world: World;
let second: Awaited<ReturnType<typeof build>>;
let pep: Bus;
let admin: string;

beforeAll(async () => {
  world = await startWorld();
  const { infra } = world;
  admin = await world.token('dora');
  second = await build({
    ...infra.serviceConfig('pdp', 'http://pdp.test'),
    spoolDir: `${infra.tmpDir}/spool-second`,
    busSignerFile: infra.keys.signerFile('pdp-bus'),
    streamReplicas: 1,
  });
  await second.start();
  pep = await connectBus({ url: infra.natsUrl, ...infra.pepCreds('acme', 'erp-1'), name: 'erp-1' });
});
afterAll(async () => {
  await pep?.close();
  await second?.stop();
  await world?.[Symbol.asyncDispose]();
});

const URL_POLICIES = '/t/acme/admin/v1/policies';
const forbid = (id: string, action = 'suppliers.export') =>
  `@id("${id}") forbid (principal, action == Action::"${action}", resource);`;
const post = async (path: string, payload?: object, status = 200) => {
  const answer = await world.pdp.http.inject({
    method: 'POST',
    url: `${URL_POLICIES}${path}`,
    headers: { authorization: `Bearer ${admin}` },
    ...(payload ? { payload } : {}),
  });
  expect(answer.statusCode, answer.body).toBe(status);
  return answer.json<Record<string, unknown>>();
};
const get = async (path: string, status = 200) => {
  const answer = await world.pdp.http.inject({
    url: `${URL_POLICIES}${path}`,
    headers: { authorization: `Bearer ${admin}` },
  });
  expect(answer.statusCode, answer.body).toBe(status);
  return answer.json<Record<string, unknown>>();
};
const push = async (id: string, action?: string) =>
  (await post('', { message: id, files: { 'a.cedar': forbid(id, action) } }, 201))
    .version as string;
const activate = (version: string, status?: number) =>
  post(`/${version}/activate`, undefined, status);
const activeEverywhere = async () => {
  const [one, other] = await Promise.all(
    [world.pdp, second].map(({ policies }) => policies.active('acme')),
  );
  expect(other?.version).toBe(one?.version);
  return one?.version;
};

describe('a check', () => {
  it('says all that an upload would, and makes no version', async () => {
    const files = {
      'a.cedar': `${forbid('all')}\n${forbid('again')}`,
    };
    expect(await post('/check', { files })).toEqual({
      version: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      policies: 2,
      tests: 0,
      findings: [
        {
          policy: 'again',
          kind: 'covered',
          by: 'all',
          message: 'again changes nothing: all forbids all that it forbids.',
        },
      ],
    });
    expect(await post('/check', { files: { 'a.cedar': 'forbid' } }, 422)).toMatchObject({
      code: 'POLICY_INVALID',
    });
    expect(await get('')).toEqual({ versions: [] });
  });
});

describe('a rollback', () => {
  it('leads to what was active before, and a second one further back, past what was rolled back', async () => {
    const [one, two, three, four] = [
      await push('one'),
      await push('two'),
      await push('three'),
      await push('four'),
    ];
    await activate(one);
    await post('/rollback', {}, 404);
    expect(await activeEverywhere()).toBe(one);
    await activate(two);
    await activate(three);
    expect(await post('/rollback', {})).toMatchObject({ version: two, changed: true });
    await activate(four);
    expect(await post('/rollback', {})).toMatchObject({
      version: two,
      replaces: { version: four },
    });
    expect(await post('/rollback', {})).toMatchObject({ version: one });
    expect(await activeEverywhere()).toBe(one);
    expect(
      await world.recorded(
        ({ event, detail }) => event === 'policy.activated' && detail?.change === 'rolled_back',
      ),
    ).toMatchObject({ policy_version: two, detail: { replaces: three } });
  });

  it('of a version that is not the active one any more is refused', async () => {
    const before = await activeEverywhere();
    expect(await post('/rollback', { from: 'A'.repeat(43) }, 409)).toMatchObject({
      code: 'CONFLICT',
    });
    expect(await activeEverywhere()).toBe(before);
  });
});

describe('two sets', () => {
  it('are compared guardrail by guardrail, by default with the active one', async () => {
    const before = await push('compared');
    await activate(before);
    const after = await post(
      '',
      {
        message: 'm',
        files: { 'a.cedar': forbid('compared', 'orders.create'), 'b.cedar': forbid('new') },
      },
      201,
    );
    expect(await get(`/${after.version as string}/diff`)).toEqual({
      from: before,
      to: after.version,
      added: [{ id: 'new', text: forbid('new') }],
      removed: [],
      changed: [
        { id: 'compared', before: forbid('compared'), after: forbid('compared', 'orders.create') },
      ],
    });
    expect(await get(`/${before}/diff?against=${after.version as string}`)).toMatchObject({
      removed: [{ id: 'new' }],
    });
    expect(await get(`/${before}/files`)).toEqual({
      version: before,
      files: { 'a.cedar': forbid('compared') },
    });
    await get(`/${'A'.repeat(43)}/files`, 404);
    await get(`/${'A'.repeat(43)}/diff`, 404);
  });
});

describe('a broken set never takes the place of a good one', () => {
  // Leave out the validation in activateIn and this goes red.
  it('not even when it was good once: the tool of one of its guardrails is gone', async () => {
    const good = await push('good');
    const late = await push('late', 'payments.release');
    await activate(good);
    const acme = world.registry.tenants.get('acme') as { tools: (typeof erp)[] };
    acme.tools = [{ ...erp, actions: erp.actions.filter((name) => name !== 'payments.release') }];
    const refused = await activate(late, 422);
    expect(refused).toMatchObject({ code: 'POLICY_INVALID' });
    expect((refused.problems as object[])[0]).toMatchObject({
      file: 'a.cedar',
      line: 1,
      column: 42,
      message: expect.stringContaining('unrecognized action `Action::"payments.release"`'),
    });
    expect(await activeEverywhere()).toBe(good);
    acme.tools = [erp];
    await activate(late);
    expect(await activeEverywhere()).toBe(late);
  });
});

describe('an activation', () => {
  const call: EvaluateRequest = {
    actors: ['procurement-agent'],
    user: 'alice',
    client: 'procurement-agent',
    task: { id: 'task_A', type: summary.id },
    audience: AUDIENCE,
    scope: everything,
    operation: { action: 'suppliers.read', resource: 'erp/suppliers/S-100', args: {} },
  };
  const decide = () =>
    pep.call('pdp.evaluate', 'acme', call, {
      verifier: createVerifier({ keys: world.infra.trust().keys.pdp }),
    });

  // Both replicas answer from one queue group. Keep the active version in memory in `active`, even
  // for a second, and this goes red.
  it('decides in every replica from the moment that it was answered', async () => {
    const open = await push('open', 'orders.create');
    const shut = await push('shut', 'suppliers.read');
    for (let round = 0; round < 6; round++) {
      const version = round % 2 === 0 ? shut : open;
      await activate(version);
      const answers = await Promise.all(Array.from({ length: 16 }, decide));
      expect(new Set(answers.map((answer) => answer.policy_version))).toEqual(new Set([version]));
      expect(new Set(answers.map(({ decision }) => decision))).toEqual(
        new Set([version === shut ? 'deny' : 'allow']),
      );
    }
  });

  // Row 53, bundle rollback: whoever has the pdp's right to publish, but not its database, says an old
  // signed activation again. Let a replica believe the bus about what is active and this goes red.
  it('is not undone by an old signed event of it that comes again', async () => {
    const old = await push('replayed-old');
    await activate(old);
    const { infra } = world;
    await using thief = await connectBus({
      url: infra.natsUrl,
      ...infra.creds('pdp'),
      name: 'thief',
    });
    const event = createSigner(infra.signer('pdp-bus')).sign(
      SIGNED.policy,
      JSON.stringify(
        makeCloudEvent(
          'policy.activated',
          {
            id: randomUUID(),
            source: 'remit/pdp',
            time: new Date().toISOString(),
            subject: 'acme',
          },
          { seq: 1, version: old, number: 1, change: 'activated' },
        ),
      ),
    );
    const good = await push('replayed-good', 'suppliers.read');
    await activate(good);
    await thief.publishRecord(subjects.policy('acme'), Buffer.from(event), randomUUID());
    await thief.flush();
    const answers = await Promise.all(Array.from({ length: 8 }, decide));
    expect(
      new Set(answers.map((answer) => [answer.policy_version, answer.decision].join())),
    ).toEqual(new Set([`${good},deny`]));
    expect(await activeEverywhere()).toBe(good);
  });

  // Row 53 again, below the service: what its database role could do to the history of activations.
  it('and a version are written once: the service itself can neither change nor take them away', async () => {
    const before = await activeEverywhere();
    const database = await createDatabase({
      url: world.infra.databaseUrl('pdp'),
      schema: 'pdp',
      log: createLogger({ service: 'test', instance: 'thief', level: 'fatal' }),
      insecure: true,
    });
    try {
      for (const statement of [
        `update policy_versions set files = '{}'`,
        'delete from policy_versions',
        'update policy_activations set seq = seq + 1',
        'delete from policy_activations',
        'delete from policy_shadows',
      ]) {
        const run = database.withTenant('acme', (trx) => sql.raw(statement).execute(trx));
        await expect(run, statement).rejects.toMatchObject({ code: '42501' });
      }
    } finally {
      await database.close();
    }
    expect(await activeEverywhere()).toBe(before);
  });

  it('is not what a replica starts from when its database says otherwise: it reads, and keeps nothing', async () => {
    const last = await push('last');
    await activate(last);
    const { infra } = world;
    const third = await build({
      ...infra.serviceConfig('pdp', 'http://pdp.test'),
      spoolDir: `${infra.tmpDir}/spool-third`,
      busSignerFile: infra.keys.signerFile('pdp-bus'),
      streamReplicas: 1,
    });
    expect((await third.policies.active('acme')).version).toBe(last);
    await third.stop();
  });
});
