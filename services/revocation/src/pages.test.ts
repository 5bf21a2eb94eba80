import type { SinceResponse, SnapshotResponse } from '@remit/contracts';
import { createRevocationView } from '@remit/revocation-view';
import { createDatabase, createLogger, type Database } from '@remit/service-kit';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Tables } from './store/tables.ts';
import { forgetOld } from './store/upkeep.ts';
import { createRig, newId, type Rig, subjectsOf, TENANT } from './test/rig.ts';

let rig: Rig;
let owner: Database<Tables>;
let database: Database<Tables>;
beforeAll(async () => {
  rig = await createRig({ statusListBits: 64 });
  const log = createLogger({ service: 'test', instance: 't', level: 'fatal' });
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

const now = () => performance.now();
const since = (after: number, epoch: string): Promise<SinceResponse> =>
  rig.pep.call('revocation.since', TENANT, { epoch, after }, { verifier: rig.verifier });

async function snapshot(): Promise<SnapshotResponse[]> {
  const nonce = newId();
  const pages: SnapshotResponse[] = [];
  for (;;) {
    const cursor = pages.at(-1)?.next;
    const page: SnapshotResponse = await rig.pep.call(
      'revocation.snapshot',
      TENANT,
      { nonce, ...(cursor ? { cursor } : {}) },
      { verifier: rig.verifier },
    );
    pages.push(page);
    if (page.next === undefined) return pages;
  }
}

/** Many entries at once, as their statements would leave them. */
async function fill(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId());
  await database.withTenant(TENANT, (trx) =>
    sql`with moved as (
        insert into head (tenant, seq, moved_at) values (${TENANT}, ${count}, clock_timestamp())
        on conflict (tenant) do update set seq = head.seq + ${count}, moved_at = clock_timestamp()
        returning seq)
      insert into revocation (tenant, seq, verb, kind, id, at, ends, by_kind, by_id)
      select ${TENANT}, moved.seq - ${count} + n, 'revoke', 'token', each.id,
        extract(epoch from clock_timestamp())::bigint, extract(epoch from clock_timestamp())::bigint + 1200,
        'service', 'test'
      from moved, unnest(${ids}::text[]) with ordinality as each (id, n)`.execute(trx),
  );
  return ids;
}

describe('what does not fit one page', () => {
  it('comes in several, in `since` and snapshot alike, each below half a megabyte', async () => {
    const ids = await fill(9_000);
    const { epoch, seq } = await rig.head();
    const got: SinceResponse[] = [];
    for (let after = 0; ; ) {
      const page = await since(after, epoch);
      got.push(page);
      after = page.entries.at(-1)?.seq ?? seq;
      if (!page.more) break;
    }
    expect(got.length).toBeGreaterThan(3);
    const entries = got.flatMap((page) => page.entries);
    expect(entries.map((entry) => entry.seq)).toEqual(Array.from({ length: seq }, (_, n) => n + 1));
    const pages = await snapshot();
    expect(pages.length).toBeGreaterThan(3);
    for (const page of [...got, ...pages]) {
      expect(Math.ceil(JSON.stringify(page).length * (4 / 3))).toBeLessThan(512_000);
    }
    const view = createRevocationView({ tenant: TENANT });
    const sentAt = now();
    view.applyHead(await rig.head(), sentAt, now());
    // What is revoked between two pages is not in them, and is missed by nobody.
    expect(view.applySnapshot(pages)).toBe(true);
    expect(view.rev()).toEqual({ epoch, seq });
    for (const jti of [ids[0], ids[4_321], ids.at(-1)]) {
      const token = subjectsOf({ epoch, seq }, { jti: jti as string });
      expect(view.check(token, now())).toMatchObject({ reason: 'token_revoked' });
    }
  });

  it('is one picture, whatever is revoked while its pages are asked for', async () => {
    const before = await rig.head();
    const nonce = newId();
    const { verifier } = rig;
    const first = await rig.pep.call('revocation.snapshot', TENANT, { nonce }, { verifier });
    const task = `task_${newId()}`;
    await rig.revoke('task', task);
    const pages = [first];
    for (let next = first.next; next !== undefined; ) {
      const page: SnapshotResponse = await rig.pep.call(
        'revocation.snapshot',
        TENANT,
        { nonce, cursor: next },
        { verifier },
      );
      pages.push(page);
      next = page.next;
    }
    expect(new Set(pages.map(({ seq }) => seq))).toEqual(new Set([before.seq]));
    expect(pages.flatMap(({ entries }) => entries).some(({ id }) => id === task)).toBe(false);
    expect((await since(before.seq, before.epoch)).entries).toEqual([
      expect.objectContaining({ id: task, seq: before.seq + 1 }),
    ]);
  });
});

describe('what says nothing about any token any more', () => {
  // Red when `since` goes on over forgotten entries: the view would wait for them for ever.
  it('is forgotten: entries, with views sent to the snapshot, but never those of keys', async () => {
    const key = newId();
    await rig.revoke('key', key);
    const agent = newId();
    await rig.revoke('agent', agent);
    const { epoch, seq } = await rig.head();
    await owner.withTenant(TENANT, (trx) =>
      sql`update revocation set ends = ends - 200000 where seq < ${seq} and ends is not null`.execute(
        trx,
      ),
    );
    const view = createRevocationView({ tenant: TENANT });
    const sentAt = now();
    view.applyHead(await rig.head(), sentAt, now());
    view.applySnapshot([{ nonce: 'n', epoch, seq: 5, tag: 't', entries: [] }]);
    const { entries } = await forgetOld(database);
    expect(entries).toBeGreaterThan(9_000);
    expect((await forgetOld(database)).entries).toBe(0);

    expect(view.needs(now())).toEqual({ want: 'since', after: 5, epoch });
    const answer = await since(5, epoch);
    expect(answer).toEqual({ epoch, head: seq, entries: [], more: false, floor: seq - 2 });
    view.applySince(answer);
    expect(view.rev()?.seq).toBe(5);
    expect(view.needs(now())).toEqual({ want: 'snapshot' });
    view.applySnapshot(await snapshot());
    expect(view.rev()).toEqual({ epoch, seq });
    expect(view.needs(now())).toBeNull();
    const token = subjectsOf({ epoch, seq });
    expect(view.check({ ...token, keys: [key] }, now())).toMatchObject({ reason: 'key_revoked' });
    const old = { ...token, rev: { epoch, seq: seq - 1 }, actors: [agent] };
    expect(view.check(old, now())).toMatchObject({ reason: 'agent_revoked' });
    // From the floor on it is asked for as before.
    expect((await since(seq - 2, epoch)).entries).toHaveLength(2);
  });

  it('is forgotten: registrations, and the lists that have none; their numbers stay taken', async () => {
    const { epoch, seq } = await rig.head();
    const places = [];
    for (let n = 0; n < 130; n++) places.push(await rig.register(subjectsOf({ epoch, seq })));
    const lists = [...new Set(places.map(({ uri }) => uri))];
    expect(lists.length).toBeGreaterThan(2);
    expect(await forgetOld(database)).toEqual({ registrations: 0, lists: 0, entries: 0 });
    await owner.withTenant(TENANT, (trx) =>
      sql`update registration set exp = exp - 100000`.execute(trx),
    );
    expect(await forgetOld(database)).toEqual({
      registrations: 130,
      lists: lists.length - 1,
      entries: 0,
    });
    const statusOf = async (uri: string) =>
      (await rig.app.http.inject(new URL(uri).pathname)).statusCode;
    expect(await statusOf(lists[0] as string)).toBe(404);
    expect(await statusOf(lists.at(-1) as string)).toBe(200);
    const numberOf = (uri: string) => Number(uri.split('/').at(-1));
    const next = await rig.register(subjectsOf({ epoch, seq }));
    expect(numberOf(next.uri)).toBeGreaterThanOrEqual(numberOf(lists.at(-1) as string));
  });
});
