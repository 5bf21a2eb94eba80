import { createDatabase, createLogger, type Database } from '@remit/service-kit';
import { type TestInfra, testInfra } from '@remit/testkit';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { register } from './domain/register.ts';
import { isLed, readHeads, releaseLease, renewLease } from './store/lease.ts';
import { ensureHead, headTag, readPoint, takeSeq } from './store/point.ts';
import type { Tables } from './store/tables.ts';
import { subjectsOf, until } from './test/rig.ts';

let infra: TestInfra;
let database: Database<Tables>;
beforeAll(async () => {
  infra = await testInfra({ services: ['revocation'], nats: false });
  database = await createDatabase<Tables>({
    url: infra.databaseUrl('revocation'),
    schema: 'revocation',
    log: createLogger({ service: 'test', instance: 't', level: 'fatal' }),
    insecure: true,
  });
});
afterAll(async () => {
  await database?.close();
  await infra?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  for (const holder of ['a', 'b']) await releaseLease(database, holder);
  await sql`update lease set expires_at = clock_timestamp(), offset_ms = 0, feed_ms = 0`.execute(
    database.db,
  );
});

const point = () => database.withTenant('acme', (trx) => readPoint(trx, 'acme'));

describe('the lease of the feed', () => {
  it('goes to one of many, who keeps it and its term while it renews', async () => {
    const takers = Array.from({ length: 8 }, (_, n) => renewLease(database, `taker-${n}`, 5_000));
    const held = (await Promise.all(takers)).filter((one) => one !== undefined);
    expect(held).toHaveLength(1);
    const { rows } = await sql<{ holder: string }>`select holder from lease`.execute(database.db);
    const holder = rows[0]?.holder as string;
    expect(await renewLease(database, 'b', 5_000)).toBeUndefined();
    expect((await renewLease(database, holder, 5_000))?.term).toBe(held[0]?.term);
    expect(await isLed(database)).toBe(true);
    await releaseLease(database, holder);
    expect(await isLed(database)).toBe(false);
  });

  it('begins a new term at every change of hands and after a renewal that came too late', async () => {
    const first = await renewLease(database, 'a', 5_000);
    await sql`update lease set expires_at = clock_timestamp()`.execute(database.db);
    const second = await renewLease(database, 'a', 5_000);
    expect(second?.term).toBe((first?.term ?? 0) + 1);
    await releaseLease(database, 'a');
    const third = await renewLease(database, 'b', 5_000);
    expect(third?.term).toBe((first?.term ?? 0) + 2);
    expect((await point()).term).toBe(third?.term);
  });

  it("keeps the feed's clock going when the database's goes back", async () => {
    const first = await renewLease(database, 'a', 5_000);
    const hour = 3_600_000;
    // As if the clock had stood an hour later until now.
    await sql`update lease set feed_ms = feed_ms + ${hour}`.execute(database.db);
    const second = await renewLease(database, 'b', 5_000);
    expect(second).toBeUndefined();
    const third = await renewLease(database, 'a', 5_000);
    expect(third?.feedMs).toBeGreaterThanOrEqual((first?.feedMs ?? 0) + hour);
    // Going on, not standing still until the database's clock has caught up.
    const fourth = await until(async () => {
      const held = await renewLease(database, 'a', 5_000);
      expect(held?.feedMs).toBeGreaterThan((third?.feedMs ?? 0) + 5);
      return held;
    });
    // Any replica tells the same time in a head.
    const { timeMs } = await point();
    expect(timeMs).toBeGreaterThanOrEqual(fourth?.feedMs ?? 0);
    expect(timeMs - (fourth?.feedMs ?? 0)).toBeLessThan(5_000);
  });
});

describe('a registration under way', () => {
  // Red when `register` doesn't hold the head: the two would not see one another.
  it('keeps a revocation waiting, and other registrations not', async () => {
    const { epoch, seq } = await point();
    const exp = Math.floor(Date.now() / 1_000) + 60;
    const one = () => ({ ...subjectsOf({ epoch, seq }), exp });
    const listBits = 1_024;
    // The first one makes the tenant's head and list.
    await database.withTenant('acme', (trx) => register(trx, 'acme', one(), { listBits }));
    await database.withTenant('acme', async (trx) => {
      await register(trx, 'acme', one(), { listBits });
      const revoking = database.withTenant('acme', async (other) => {
        await sql`set local lock_timeout = '50ms'`.execute(other);
        return takeSeq(other, 'acme');
      });
      await expect(revoking).rejects.toMatchObject({ code: '55P03' });
      await database.withTenant('acme', (other) => register(other, 'acme', one(), { listBits }));
    });
    expect(await database.withTenant('acme', (trx) => takeSeq(trx, 'acme'))).toBe(seq + 1);
  });
});

describe('the heads of a beat', () => {
  it('name tenants by tag, with what is committed and not what is under way', async () => {
    await database.withTenant('acme', (trx) => ensureHead(trx, 'acme'));
    const { seq, tag } = await point();
    const shown = async () =>
      (await readHeads(database)).moved.find(({ tenant }) => tenant === 'acme');
    await database.withTenant('acme', async (trx) => {
      expect(await takeSeq(trx, 'acme')).toBe(seq + 1);
      expect(await shown()).toEqual({ tenant: 'acme', seq, tag });
    });
    expect(await shown()).toEqual({ tenant: 'acme', seq: seq + 1, tag });
  });

  it('leave out a tenant that has not moved for longer than views rely on', async () => {
    const moved = (seconds: number) =>
      database.withTenant('acme', (trx) =>
        sql`update head set moved_at = clock_timestamp() - make_interval(secs => ${seconds})`.execute(
          trx,
        ),
      );
    const listed = async () =>
      (await readHeads(database)).moved.some(({ tenant }) => tenant === 'acme');
    await moved(65);
    expect(await listed()).toBe(true);
    await moved(80);
    expect(await listed()).toBe(false);
  });

  it('use tags that follow from the secret and the tenant alone', () => {
    const secret = Buffer.alloc(32, 1);
    expect(headTag(secret, 'acme')).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(headTag(secret, 'acme')).toBe(headTag(secret, 'acme'));
    expect(headTag(secret, 'globex')).not.toBe(headTag(secret, 'acme'));
    expect(headTag(Buffer.alloc(32, 2), 'acme')).not.toBe(headTag(secret, 'acme'));
  });
});
