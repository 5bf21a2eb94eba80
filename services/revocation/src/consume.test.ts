import { type Bus, createVerifier } from '@remit/bus';
import { type AuditRecord, auditMessage, cloudEvent, conform } from '@remit/contracts';
import { createDatabase, createLogger, type Database, loadConfig } from '@remit/service-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from './app.ts';
import { revocationConfig } from './config.ts';
import { consumeAll } from './domain/consume.ts';
import type { Tables } from './store/tables.ts';
import { forgetUses, insertUses } from './store/uses.ts';
import {
  configOf,
  connect,
  connectPep,
  createRig,
  newId,
  type Rig,
  subjectsOf,
  TENANT,
  until,
} from './test/rig.ts';

const AUDIENCE = 'https://erp.test';
const records: AuditRecord[] = [];
let rig: Rig;
let second: Awaited<ReturnType<typeof build>>;
let peps: Bus[];
let database: Database<Tables>;

beforeAll(async () => {
  rig = await createRig();
  const { infra, cleanup } = rig;
  second = await build(configOf(infra));
  cleanup.defer(() => second.stop());
  await second.start();
  const other = await connectPep(infra, 'erp-2');
  cleanup.defer(() => other.close());
  peps = [rig.pep, other];
  database = await createDatabase<Tables>({
    url: infra.databaseUrl('revocation'),
    schema: 'revocation',
    log: createLogger({ service: 'test', instance: 't', level: 'fatal' }),
    insecure: true,
  });
  cleanup.defer(() => database.close());
  const operator = await connect(infra, 'operator');
  cleanup.defer(() => operator.close());
  const message = cloudEvent(auditMessage);
  operator.subscribe('remit.audit.acme.revocation.token_consumed', (_, bytes) => {
    records.push(conform(message, JSON.parse(Buffer.from(bytes).toString())).data.record);
  });
  await operator.flush();
});
afterAll(() => rig[Symbol.asyncDispose]());

type Token = ReturnType<typeof subjectsOf> & { exp: number; task_type: string };
const nowSeconds = () => Math.floor(Date.now() / 1_000);

async function token(over: Partial<Token> = {}): Promise<Token> {
  const { epoch, seq } = await rig.head();
  return {
    ...subjectsOf({ epoch, seq }),
    exp: nowSeconds() + 300,
    task_type: 'release-payment',
    ...over,
  };
}

const consume = (
  one: Token,
  { use = one.jti, attempt = newId(), pep = rig.pep, audience = AUDIENCE, tenant = TENANT } = {},
) =>
  pep.call(
    'revocation.consume',
    tenant,
    { use_id: use, attempt, token: one, audience },
    { verifier: createVerifier(rig.infra.trust().keys.revocation) },
  );

const rowsOf = (use: string, tenant = TENANT) =>
  database.withTenant(tenant, (trx) =>
    trx.selectFrom('single_use').selectAll().where('use_id', '=', use).execute(),
  );

async function served(app: { http: typeof rig.app.http }, outcome: string): Promise<number> {
  const { body } = await app.http.inject('/metrics');
  const [, count = '0'] =
    body.match(
      new RegExp(`^remit_revocation_consumptions_total\\{outcome="${outcome}"\\} (\\d+)`, 'm'),
    ) ?? [];
  return Number(count);
}

describe('a single use', () => {
  // Goes red without the primary key of `single_use`, or when a conflict is taken for an insert.
  it('is consumed by one of many, over two services and two PEPs', async () => {
    const expected = ['consumed', ...Array.from({ length: 7 }, () => 'spent')];
    // In waves, so that on a slow machine the callee does not answer OVERLOADED, as it may.
    for (let wave = 0; wave < 6; wave++) {
      const tokens = await Promise.all(Array.from({ length: 10 }, () => token()));
      const outcomes = await Promise.all(
        tokens.map(async (one) => {
          const answers = await Promise.all(
            Array.from({ length: 8 }, (_, n) => consume(one, { pep: peps[n % 2] as Bus })),
          );
          return answers.map(({ outcome }) => outcome).toSorted();
        }),
      );
      expect(outcomes).toEqual(Array.from({ length: 10 }, () => expected));
    }
    for (const app of [rig.app, second]) {
      expect((await served(app, 'consumed')) + (await served(app, 'spent'))).toBeGreaterThan(0);
    }
    expect((await served(rig.app, 'consumed')) + (await served(second, 'consumed'))).toBe(60);
  });

  it('is one for a token and all its descendants', async () => {
    const parent = await token();
    const child = await token({ lineage: [parent.jti] });
    expect(await consume(parent, { use: parent.jti })).toEqual({ outcome: 'consumed' });
    expect(await consume(child, { use: parent.jti })).toEqual({ outcome: 'spent' });
  });

  // Goes red when the attempt is not compared (every repetition is `spent`), or nothing but it is.
  it('gives the same attempt the same answer, and no other', async () => {
    const one = await token();
    const attempt = newId();
    const answers = await Promise.all(Array.from({ length: 6 }, () => consume(one, { attempt })));
    expect(answers.map(({ outcome }) => outcome)).toEqual(Array(6).fill('consumed'));
    const others = [
      { attempt, pep: peps[1] as Bus },
      { attempt, audience: 'https://other.test' },
      {},
    ];
    for (const other of others) expect(await consume(one, other)).toEqual({ outcome: 'spent' });
    const child = await token({ lineage: [one.jti] });
    expect(await consume(child, { use: one.jti, attempt })).toEqual({ outcome: 'spent' });
    expect(await consume(one, { attempt })).toEqual({ outcome: 'consumed' });
    await until(() => expect(ofUse(one.jti)).toHaveLength(1));
  });

  it('is a tenant’s own', async () => {
    const globex = await connectPep(rig.infra, 'erp-1', 'globex');
    const one = await token();
    expect(await consume(one)).toEqual({ outcome: 'consumed' });
    expect(await consume(one, { pep: globex, tenant: 'globex' })).toEqual({ outcome: 'consumed' });
    expect(await rowsOf(one.jti)).toHaveLength(1);
    expect(await rowsOf(one.jti, 'globex')).toHaveLength(1);
    await globex.close();
  });

  it('leaves one record with the whole chain, when it is consumed and not before', async () => {
    const user = `user-${newId()}`;
    const one = await token({ actors: ['procurement-agent', 'risk-analyst'], user });
    const attempt = newId();
    await consume(one, { attempt });
    await consume(one);
    await until(() => expect(ofUse(one.jti)).toHaveLength(1));
    expect(ofUse(one.jti)[0]).toMatchObject({
      event: 'token.consumed',
      decision: 'allow',
      principal: { c: expect.stringMatching(/^[\w-]{43}$/) },
      actor: 'risk-analyst',
      act_chain: ['procurement-agent', 'risk-analyst'],
      origin_agent: 'procurement-agent',
      task: { id: one.task, type: 'release-payment' },
      token: { jti: one.jti, exp: one.exp, rev: one.rev },
      audience: AUDIENCE,
      detail: { use_id: one.jti, attempt, pep: 'erp-1' },
    });
    expect(JSON.stringify(ofUse(one.jti))).not.toContain(user);
  });

  it('cannot be consumed by a service, or from another tenant', async () => {
    const one = await token();
    const refused = { code: 'PERMISSION_DENIED' };
    await expect(consume(one, { pep: rig.issuer })).rejects.toMatchObject(refused);
    await expect(consume(one, { tenant: 'globex' })).rejects.toMatchObject(refused);
    expect(await rowsOf(one.jti)).toEqual([]);
  });
});

describe('what may not be used', () => {
  // Goes red when consumeAll() does not look at revocations.
  it.each([
    ['token', (one: Token) => one.jti, false],
    ['token', (one: Token) => one.lineage[0] as string, true],
    ['task', (one: Token) => one.task, false],
    ['user', (one: Token) => one.user, false],
    ['agent', (one: Token) => one.actors[0] as string, false],
    ['client', (one: Token) => one.client, false],
    ['key', (one: Token) => one.keys[0] as string, false],
  ] as const)('a revoked %s consumes nothing', async (kind, idOf, ancestor) => {
    const names = { user: newId(), actors: [newId()], client: newId(), keys: [newId()] };
    const one = await token({ lineage: [newId()], ...names });
    await rig.revoke(kind, idOf(one));
    expect(await consume(one)).toEqual({
      outcome: 'revoked',
      revoked: { kind, id: idOf(one), ancestor },
    });
    expect(await rowsOf(one.jti)).toEqual([]);
  });

  it('of another epoch, or ahead of the log, consumes nothing', async () => {
    const { epoch, seq } = await rig.head();
    for (const rev of [
      { epoch: 'anotherE', seq: 0 },
      { epoch, seq: seq + 1 },
    ]) {
      const one = await token({ rev });
      expect(await consume(one)).toMatchObject({ outcome: 'revoked', revoked: { kind: 'tenant' } });
      expect(await rowsOf(one.jti)).toEqual([]);
    }
  });

  it('stays consumed for the attempt that has it, whatever is revoked later', async () => {
    const one = await token();
    const attempt = newId();
    await consume(one, { attempt });
    await rig.revoke('token', one.jti);
    expect(await consume(one, { attempt })).toEqual({ outcome: 'consumed' });
    expect(await consume(one)).toEqual({ outcome: 'spent' });
  });

  it('has expired, or lives longer than a token may: refused, and nothing is consumed', async () => {
    for (const exp of [nowSeconds() - 61, nowSeconds() + 970]) {
      const one = await token({ exp });
      await expect(consume(one)).rejects.toMatchObject({
        code: 'CALL_REFUSED',
        details: { code: 'CONFLICT' },
      });
      expect(await rowsOf(one.jti)).toEqual([]);
    }
  });
});

describe('many at once', () => {
  // Goes red when a batch that failed is not taken apart.
  it('are committed together, and a bad one fails alone', async () => {
    const tokens = await Promise.all(Array.from({ length: 40 }, () => token()));
    const bad = await token({ task: 'task_\u0000' });
    const batchesBefore = await batches();
    const [worse, ...answers] = await Promise.all([
      ...[bad].map((one) => consume(one).catch((error: unknown) => error)),
      ...tokens.map((one) => consume(one)),
      ...[bad].map((one) => consume(one).catch((error: unknown) => error)),
    ]);
    const failed = { code: 'CALL_REFUSED', details: { code: 'INTERNAL' } };
    expect(worse).toMatchObject(failed);
    expect(answers.pop()).toMatchObject(failed);
    expect(answers).toEqual(tokens.map(() => ({ outcome: 'consumed' })));
    const committed = (await batches()) - batchesBefore;
    expect(committed).toBeGreaterThan(0);

    const more = await Promise.all(Array.from({ length: 40 }, () => token()));
    const before = await batches();
    await Promise.all(more.map((one) => consume(one)));
    expect((await batches()) - before).toBeLessThan(20);
  });
});

describe('several in one transaction', () => {
  // Goes red when what hits one of them is not told apart from the others (`naming`), or when one
  // refusal ends them all.
  it('have each their own answer, in their order', async () => {
    const ofOne = () => token({ user: newId(), actors: [newId()], client: newId(), keys: [] });
    const [good, revoked, expired, twice] = [
      await ofOne(),
      await ofOne(),
      { ...(await ofOne()), exp: nowSeconds() - 100 },
      await ofOne(),
    ];
    for (const kind of ['token', 'task', 'user', 'agent', 'client'] as const) {
      const id = { token: revoked.jti, task: revoked.task, agent: revoked.actors[0] as string };
      await rig.revoke(kind, { ...id, user: revoked.user, client: revoked.client }[kind]);
    }
    const ask = (one: Token, attempt = newId()) => ({
      use_id: one.jti,
      attempt,
      token: one,
      audience: AUDIENCE,
      pep: 'erp-1',
    });
    const again = ask(twice);
    const results = await database.withTenant(TENANT, (trx) =>
      consumeAll(trx, TENANT, [ask(good), ask(revoked), ask(expired), again, again, ask(twice)], {
        retentionSeconds: 90_900,
      }),
    );
    expect(
      results.map((one) => ('refused' in one ? one.refused.code : [one.answer.outcome, one.fresh])),
    ).toEqual([
      ['consumed', true],
      ['revoked', false],
      'CONFLICT',
      ['consumed', true],
      ['consumed', false],
      ['spent', false],
    ]);
  });
});

describe('the uses that are kept', () => {
  // Goes red when what is spent is only remembered in the process.
  it('are spent after a restart of everything that serves them', async () => {
    const one = await token();
    const attempt = newId();
    await consume(one, { attempt });
    await second.stop();
    await rig.app.stop();
    const third = await build(configOf(rig.infra));
    rig.cleanup.defer(() => third.stop());
    await third.start();
    expect(await consume(one)).toEqual({ outcome: 'spent' });
    expect(await consume(one, { attempt })).toEqual({ outcome: 'consumed' });
  });

  it('outlive every token that shares them', async () => {
    const one = await token();
    await consume(one);
    const [row] = await rowsOf(one.jti);
    expect(row?.keep_until).toBe(one.exp + 604_800);
    const use = (use_id: string, keep_until: number) => ({
      use_id,
      keep_until,
      attempt: newId(),
      pep: 'erp-1',
      jti: use_id,
      task: 't',
      audience: AUDIENCE,
    });
    const [over, kept] = [newId(), newId()];
    await database.withTenant('globex', (trx) =>
      insertUses(trx, 'globex', [use(over, nowSeconds() - 5), use(kept, nowSeconds() + 60)]),
    );
    expect(await forgetUses(database)).toBe(1);
    expect(await rowsOf(over, 'globex')).toEqual([]);
    expect(await rowsOf(kept, 'globex')).toHaveLength(1);
    expect(await rowsOf(one.jti)).toHaveLength(1);
  });

  // 24 hours in which a task's first tokens are renewed, 15 minutes of the last one, one hour to spare.
  it('cannot be configured to be kept for less', () => {
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
    const at = (seconds: string) =>
      loadConfig(revocationConfig, { ...env, REMIT_USE_RETENTION_SECONDS: seconds });
    expect(() => at('90899')).toThrow(/REMIT_USE_RETENTION_SECONDS/);
    expect(at('90900').config.useRetentionSeconds).toBe(90_900);
    expect(loadConfig(revocationConfig, env).config.useRetentionSeconds).toBe(604_800);
  });
});

function ofUse(use: string): AuditRecord[] {
  return records.filter(({ detail }) => detail?.['use_id'] === use);
}

async function batches(): Promise<number> {
  let sum = 0;
  for (const app of [rig.app, second]) {
    const { body } = await app.http.inject('/metrics');
    const found = body.match(/^remit_revocation_consumption_batches_total (\d+)/m);
    sum += Number(found?.[1] ?? 0);
  }
  return sum;
}
