import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createDatabase, createLogger, type Database } from '@remit/service-kit';
import { StatusList } from '@sd-jwt/jwt-status-list';
import { decodeJwt } from 'jose';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createStoreGuard, guarded } from './domain/store-guard.ts';
import { readState } from './store/epochs.ts';
import { renewLease } from './store/lease.ts';
import type { Tables } from './store/tables.ts';
import { configOf, createRig, newId, type Rig, subjectsOf, TENANT, until } from './test/rig.ts';

// Each goes red when its witness is taken out of wentBack(); the last ones when guarded() lets through.

const log = createLogger({ service: 'test', instance: 't', level: 'fatal' });
let rig: Rig;
let owner: Database<Tables>;
let database: Database<Tables>;
beforeAll(async () => {
  rig = await createRig({ statusListBits: 64 });
  const open = (url: string) =>
    createDatabase<Tables>({ url, schema: 'revocation', log, insecure: true });
  owner = await open(rig.infra.ownerUrl('revocation'));
  database = await open(rig.infra.databaseUrl('revocation'));
});
afterAll(async () => {
  await owner?.close();
  await database?.close();
  await rig?.[Symbol.asyncDispose]();
});
beforeEach(() => rig.ready());

let files = 0;
const newFile = () => join(rig.infra.tmpDir, `seen-${++files}`, 'store-seen.json');
const guardOf = (file: string, monotonicMs = () => performance.now()) => {
  const reasons: string[] = [];
  const onWentBack = (why: string) => reasons.push(why);
  return {
    reasons,
    ...createStoreGuard({ database, log, file, monotonicMs, onWentBack }),
  };
};
const epochs = async (): Promise<number> => (await readState(database)).number;
const seen = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

describe('a store', () => {
  it('that goes on is the same for a service that starts again, and for a new one', async () => {
    const file = newFile();
    const before = await epochs();
    const guard = guardOf(file);
    expect(guard.known()).toBe(false);
    expect(await guard.verify()).toBe(true);
    expect(guard.known()).toBe(true);
    await renewLease(database, 'somebody', 1);
    const again = guardOf(file);
    expect(await again.verify()).toBe(true);
    expect(await guardOf(newFile()).verify()).toBe(true);
    expect(await epochs()).toBe(before);
    expect(again.reasons).toEqual([]);
  });

  it('that is an older copy begins a new epoch, once, whoever of two replicas notices', async () => {
    const both = [newFile(), newFile()] as const;
    const first = guardOf(both[0]);
    const second = guardOf(both[1]);
    await Promise.all([first.verify(), second.verify()]);
    const { epoch, renewals, number } = await readState(database);
    for (const file of both) {
      writeFileSync(file, JSON.stringify({ epoch, renewals: renewals + 1_000, feedMs: 1 }));
    }
    const restarted = both.map((file) => guardOf(file));
    // Who looks second may find the epoch that the first began.
    expect(await Promise.all(restarted.map(({ verify }) => verify()))).toContain(false);
    expect(restarted.flatMap(({ reasons }) => reasons)).toEqual([
      expect.stringMatching(/^it counts \d+ renewals of its lease where \d+ were seen$/),
    ]);
    for (const guard of restarted) {
      expect(await guard.verify()).toBe(true);
      expect(guard.known()).toBe(true);
    }
    expect(await epochs()).toBe(number + 1);
  });

  it('that came from a dump, a recovery or a standby begins a new epoch, also without evidence', async () => {
    const { number } = await readState(database);
    await sql`update epoch set cluster = '1/00000001' where number = ${number}`.execute(owner.db);
    await until(async () => expect(await epochs()).toBe(number + 1));
    const { beganOn, runsOn } = await readState(database);
    expect(beganOn).toMatch(/^\d+\/[0-9A-F]{8}$/);
    expect(beganOn).toBe(runsOn);
  });

  it.each([
    ['which does not know the epoch that was seen', '{"epoch":"gone","renewals":1,"feedMs":1}'],
    ['after a crash that left half a file', '{"epoch":"a'],
    ['after somebody wrote into the file', '{"epoch":"a","renewals":-1,"feedMs":1}'],
  ])('%s begins a new epoch', async (_, text) => {
    const file = newFile();
    await guardOf(file).verify();
    writeFileSync(file, text);
    const before = await epochs();
    const guard = guardOf(file);
    expect(await guard.verify()).toBe(false);
    expect(guard.reasons).toEqual([expect.stringMatching(/^it does not know the epoch /)]);
    expect(await guard.verify()).toBe(true);
    expect(await epochs()).toBe(before + 1);
    expect(seen(file)).toMatchObject({ epoch: (await readState(database)).epoch });
  });

  it("keeps the feed's clock going although it was put back", async () => {
    const file = newFile();
    await guardOf(file).verify();
    const later = Date.now() + 20_000;
    writeFileSync(file, JSON.stringify({ epoch: 'gone', renewals: 1, feedMs: later }));
    await guardOf(file).verify();
    await until(async () => expect((await readState(database)).feedMs).toBeGreaterThan(later));
    await sql`update lease set feed_ms = 0, offset_ms = 0`.execute(owner.db);
  });

  it('is verified also while the disk takes nothing: the older file and the memory still count', async () => {
    const file = newFile();
    const guard = guardOf(file);
    await guard.verify();
    rmSync(dirname(file), { recursive: true });
    await renewLease(database, 'somebody', 1);
    expect(await guard.verify()).toBe(true);
    expect(existsSync(file)).toBe(false);
    guard.saw((await readState(database)).renewals + 1_000_000, 1);
    expect(await guard.verify()).toBe(false);
    expect(guard.reasons).toHaveLength(1);
  });

  it('is not known for longer than two seconds, nor after it did not answer', async () => {
    let nowMs = 0;
    const guard = guardOf(newFile(), () => nowMs);
    const { read } = guarded(guard, { read: async () => 'an answer' });
    await expect(read()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await guard.verify();
    nowMs = 2_000;
    expect(await read()).toBe('an answer');
    nowMs = 2_001;
    await expect(read()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const url = rig.infra.databaseUrl('revocation');
    const closing = await createDatabase<Tables>({
      url,
      schema: 'revocation',
      log,
      insecure: true,
    });
    const file = newFile();
    const other = createStoreGuard({ database: closing, log, file, monotonicMs: () => 0 });
    expect(await other.verify()).toBe(true);
    await closing.close();
    await expect(other.verify()).rejects.toThrow();
    expect(other.known()).toBe(false);
  });
});

describe('an older copy of the database under a running service', () => {
  it('kills what was decided on it, and shows it in status lists that it does not know of', async () => {
    const { epoch, seq } = await rig.head();
    const token = subjectsOf({ epoch, seq }, { user: newId() });
    const place = await rig.register(token);
    // What the older copy lacks: a revocation, and the registration above.
    const revoked = await rig.revoke('user', token.user);
    // The leader has looked at the epoch that an earlier test began.
    const { renewals } = await readState(database);
    await until(async () =>
      expect((await readState(database)).renewals).toBeGreaterThan(renewals + 2),
    );
    await sql`update lease set renewals = renewals - 8`.execute(owner.db);
    await owner.withTenant(TENANT, async (trx) => {
      await sql`delete from revocation where seq >= ${revoked.seq}`.execute(trx);
      await sql`update head set seq = ${revoked.seq - 1}`.execute(trx);
      await sql`delete from registration where jti = ${token.jti}`.execute(trx);
    });
    await until(async () => expect((await rig.head()).epoch).not.toBe(epoch));
    await rig.ready();
    expect((await rig.check([token])).revoked).toMatchObject({ kind: 'tenant' });
    const answer = await rig.app.http.inject(new URL(place.uri).pathname);
    const { lst } = decodeJwt(answer.body)['status_list'] as { lst: string };
    const { statusList } = StatusList.decompressStatusList(lst, 1);
    expect(statusList).toEqual(Array.from({ length: 64 }, () => 1));
    // The next token is in a list whose number no earlier one had.
    const head = await rig.head();
    const next = await rig.register(subjectsOf({ epoch: head.epoch, seq: head.seq }));
    const numberOf = (uri: string) => Number(uri.split('/').at(-1));
    expect(numberOf(next.uri)).toBeGreaterThan(numberOf(place.uri));
    const { body } = await rig.app.http.inject('/metrics');
    expect(body).toMatch(/^remit_revocation_store_went_back(\{[^}]*\})? [1-9]/m);
  });

  it('is noticed by the next start before anything is answered', async () => {
    const { build } = await import('./app.ts');
    const config = configOf(rig.infra);
    const first = await build(config);
    await first.stop();
    const file = join(config.spoolDir, 'store-seen.json');
    expect(existsSync(file)).toBe(true);
    const known = seen(file);
    writeFileSync(file, JSON.stringify({ ...known, renewals: known.renewals + 10_000 }));
    const before = await epochs();
    const second = await build(config);
    try {
      expect(await epochs()).toBe(before + 1);
    } finally {
      await second.stop();
    }
  });
});
