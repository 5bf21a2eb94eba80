import { StatusList } from '@sd-jwt/jwt-status-list';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from './app.ts';
import { configOf, createRig, newId, type Rig, subjectsOf } from './test/rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await createRig({ statusListBits: 64 });
});
afterAll(() => rig?.[Symbol.asyncDispose]());

type App = Rig['app'];

/** Reads a list as a party of its own would: media type, key, typ, subject, then an independent decoder. */
async function fetchList(uri: string, app: App = rig.app): Promise<number[]> {
  const answer = await app.http.inject(new URL(uri).pathname);
  expect(answer.statusCode).toBe(200);
  expect(answer.headers['content-type']).toBe('application/statuslist+jwt');
  const jwks = (await app.http.inject('/.well-known/jwks.json')).json<JSONWebKeySet>();
  const { payload, protectedHeader } = await jwtVerify(answer.body, createLocalJWKSet(jwks), {
    typ: 'statuslist+jwt',
    subject: uri,
    algorithms: ['Ed25519'],
  });
  // The status key and not the one of the feed.
  expect(protectedHeader.kid).toBe(jwks.keys[1]?.kid);
  expect(payload).toMatchObject({ iat: expect.any(Number), ttl: 30 });
  expect((payload.exp as number) - (payload.iat as number)).toBe(300);
  const { bits, lst } = payload['status_list'] as { bits: 1; lst: string };
  expect(bits).toBe(1);
  return StatusList.decompressStatusList(lst, bits).statusList;
}

const statusOf = async ({ uri, idx }: { uri: string; idx: number }, app?: App) =>
  (await fetchList(uri, app))[idx];

async function token(over: Parameters<typeof subjectsOf>[1] = {}) {
  const { epoch, seq } = await rig.head();
  const subjects = subjectsOf({ epoch, seq }, { user: newId(), actors: [newId()], ...over });
  return { subjects, place: await rig.register(subjects) };
}

describe('a status list', () => {
  it('shows a revoked token, and only that', async () => {
    const one = await token();
    const other = await token();
    expect(await statusOf(one.place)).toBe(0);
    await rig.revoke('token', one.subjects.jti);
    expect(await statusOf(one.place)).toBe(1);
    expect(await statusOf(other.place)).toBe(0);
  });

  it('shows what is inherited and what is wide', async () => {
    const cases = [
      ['token', newId(), (id: string) => ({ lineage: [newId(), id] })],
      ['link', newId(), (id: string) => ({ lineage: [id] })],
      ['task', `task_${newId()}`, (id: string) => ({ task: id })],
      ['agent', newId(), (id: string) => ({ actors: [newId(), id] })],
      ['user', newId(), (id: string) => ({ user: id })],
      ['client', newId(), (id: string) => ({ client: id })],
      ['key', newId(), (id: string) => ({ keys: [id] })],
    ] as const;
    for (const [kind, id, over] of cases) {
      const { place } = await token(over(id));
      expect(await statusOf(place), kind).toBe(0);
      await rig.revoke(kind, id);
      expect(await statusOf(place), kind).toBe(1);
    }
  });

  it('shows it on tokens that are registered later but were decided before', async () => {
    const agent = newId();
    const task = `task_${newId()}`;
    const { epoch, seq } = await rig.head();
    const before = { epoch, seq };
    // The list is in the cache, so that only the late registration can change it.
    await token().then(({ place }) => fetchList(place.uri));
    await rig.revoke('agent', agent);
    await rig.revoke('task', task);
    const first = await token();
    await fetchList(first.place.uri);
    const late = await rig.register(subjectsOf(before, { actors: [agent] }));
    expect(await statusOf(late)).toBe(1);
    const after = { epoch, seq: (await rig.head()).seq };
    expect(await statusOf(await rig.register(subjectsOf(after, { actors: [agent] })))).toBe(0);
    expect(await statusOf(await rig.register(subjectsOf(after, { task })))).toBe(1);
  });

  it('gives every token an index of its own under concurrency, and rolls over', async () => {
    const places = await Promise.all(Array.from({ length: 150 }, () => token()));
    const seen = new Set(places.map(({ place }) => `${place.uri} ${place.idx}`));
    expect(seen.size).toBe(150);
    const lists = new Set(places.map(({ place }) => place.uri));
    expect(lists.size).toBeGreaterThanOrEqual(3);
    for (const { place } of places) expect(place.idx).toBeLessThan(64);
    // Random: the indices of one list in the order of registration are not sorted.
    const some = places.filter(({ place }) => place.uri === places[40]?.place.uri);
    const indices = some.map(({ place }) => place.idx);
    expect(indices).not.toEqual(indices.toSorted((a, b) => a - b));
    const last = places.at(-1);
    await rig.revoke('token', last?.subjects.jti ?? '');
    expect(await statusOf(last?.place ?? { uri: '', idx: 0 })).toBe(1);
  });

  it('is the same for another replica and after a restart, and takes nothing back', async () => {
    const one = await token();
    await rig.revoke('token', one.subjects.jti);
    const shown = await fetchList(one.place.uri);
    const second = await build(configOf(rig.infra, { statusListBits: 64 }));
    try {
      const again = await fetchList(one.place.uri, second);
      for (const [idx, status] of shown.entries()) {
        if (status === 1) expect(again[idx]).toBe(1);
      }
      expect(again[one.place.idx]).toBe(1);
    } finally {
      await second.stop();
    }
  });

  it('has true validators', async () => {
    const { subjects, place } = await token();
    const path = new URL(place.uri).pathname;
    const first = await rig.app.http.inject(path);
    expect(first.headers).toMatchObject({
      etag: expect.stringMatching(/^"[\w-]{43}"$/),
      'cache-control': 'public, max-age=30',
      'last-modified': expect.stringContaining('GMT'),
    });
    const etag = first.headers['etag'] as string;
    for (const value of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const answer = await rig.app.http.inject({ url: path, headers: { 'if-none-match': value } });
      expect(answer.statusCode).toBe(304);
      expect(answer.body).toBe('');
      expect(answer.headers['etag']).toBe(etag);
    }
    await rig.revoke('token', subjects.jti);
    const next = await rig.app.http.inject({ url: path, headers: { 'if-none-match': etag } });
    expect(next.statusCode).toBe(200);
    expect(next.headers['etag']).not.toBe(etag);
  });

  it('is not found under any other name', async () => {
    for (const path of ['999', '-1', '01', '1.0', 'x', '0x0', '9999999999999']) {
      const answer = await rig.app.http.inject(`/t/acme/status/${path}`);
      expect([400, 404]).toContain(answer.statusCode);
    }
    expect((await rig.app.http.inject('/t/globex/status/0')).statusCode).toBe(404);
    expect((await rig.app.http.inject('/t/acme/status/0?time=1')).statusCode).toBe(400);
  });
});
