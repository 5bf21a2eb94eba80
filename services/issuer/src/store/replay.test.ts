import { createDatabase, createLogger, type Database } from '@remit/service-kit';
import { type TestInfra, testInfra } from '@remit/testkit';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createReplayMemory } from './replay.ts';
import type { IssuerTables } from './schema.ts';

let infra: TestInfra;
let replicas: [Database<IssuerTables>, Database<IssuerTables>];
const open = () =>
  createDatabase<IssuerTables>({
    url: infra.databaseUrl('issuer'),
    schema: 'issuer',
    log: createLogger({ service: 'issuer', instance: 't', level: 'silent' }),
    insecure: true,
  });
beforeAll(async () => {
  infra = await testInfra({ services: ['issuer'], nats: false });
  replicas = [await open(), await open()];
});
afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.close()));
  await infra[Symbol.asyncDispose]();
});

const SECONDS = 1_800_000_000;
const assertion = (jtiHash: string, clientId = 'a-1') => ({
  clientId,
  jtiHash,
  expSeconds: SECONDS,
});

describe('the replay memory', () => {
  it('lets one of two replicas win, every time', async () => {
    const memories = replicas.map(createReplayMemory);
    for (let round = 0; round < 20; round++) {
      const used = assertion(`race-${round}`);
      const proof = { jkt: 'k', jtiHash: `race-${round}`, expSeconds: SECONDS };
      const answers = await Promise.all(
        memories.flatMap((memory) => [
          memory.rememberAssertion('acme', used),
          memory.rememberProof('acme', proof),
          memory.rememberActorToken('acme', { ...used, agent: 'a-1' }),
        ]),
      );
      expect(answers.filter(Boolean)).toHaveLength(3);
    }
  });

  it('tells clients, keys and tenants apart', async () => {
    const memory = createReplayMemory(replicas[0]);
    expect(await memory.rememberAssertion('acme', assertion('x'))).toBe(true);
    expect(await memory.rememberAssertion('acme', assertion('x'))).toBe(false);
    expect(await memory.rememberAssertion('acme', assertion('x', 'a-2'))).toBe(true);
    expect(await memory.rememberAssertion('globex', assertion('x'))).toBe(true);
    const proof = { jtiHash: 'x', expSeconds: SECONDS };
    expect(await memory.rememberProof('acme', { ...proof, jkt: 'k1' })).toBe(true);
    expect(await memory.rememberProof('acme', { ...proof, jkt: 'k2' })).toBe(true);
    expect(await memory.rememberProof('acme', { ...proof, jkt: 'k1' })).toBe(false);
    // The same key signs assertions and actor tokens: an id that both have is not a replay.
    const actor = { jtiHash: 'x', expSeconds: SECONDS, agent: 'a-1' };
    expect(await memory.rememberActorToken('acme', actor)).toBe(true);
    expect(await memory.rememberActorToken('acme', actor)).toBe(false);
    expect(await memory.rememberActorToken('acme', { ...actor, agent: 'a-2' })).toBe(true);
    expect(await memory.rememberActorToken('globex', actor)).toBe(true);
  });

  it('forgets what nobody takes any more, with a margin for clocks that are behind', async () => {
    const memory = createReplayMemory(replicas[0]);
    await memory.rememberAssertion('acme', assertion('old'));
    expect(await memory.forgetExpired(SECONDS * 1000 + 120_000)).toBe(0);
    expect(await memory.rememberAssertion('acme', assertion('old'))).toBe(false);
    expect(await memory.forgetExpired(SECONDS * 1000 + 120_001)).toBeGreaterThan(0);
    expect(await memory.rememberAssertion('acme', assertion('old'))).toBe(true);
    const actor = { agent: 'a-1', jtiHash: 'old', expSeconds: SECONDS };
    await memory.rememberActorToken('acme', actor);
    expect(await memory.rememberActorToken('acme', actor)).toBe(false);
    await memory.forgetExpired(SECONDS * 1000 + 120_001);
    expect(await memory.rememberActorToken('acme', actor)).toBe(true);
  });
});

describe('the role of the service', () => {
  it('sees no row without a tenant, and cannot change a task or the schema', async () => {
    const [database] = replicas;
    const { rows } = await sql`select * from assertions`.execute(database.db);
    expect(rows).toEqual([]);
    for (const statement of [
      sql`update tasks set until = now()`,
      sql`delete from tasks`,
      sql`create table more (id text)`,
      sql`alter table tasks disable row level security`,
    ]) {
      await expect(
        database.withTenant('acme', (trx) => statement.execute(trx)),
      ).rejects.toMatchObject({ code: '42501' });
    }
    await expect(
      database.withTenant('acme', (trx) =>
        trx
          .insertInto('assertions')
          .values({ tenant: 'globex', client: 'c', jti_hash: 'h', expires_at: new Date() })
          .execute(),
      ),
    ).rejects.toMatchObject({ code: '42501' });
  });
});
