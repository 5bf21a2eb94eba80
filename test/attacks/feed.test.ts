import { connectBus, createSigner, createVerifier } from '@remit/bus';
import { beatShard, SIGNED, subjects, type TokenSubjects } from '@remit/contracts';
import { createRevocationView } from '@remit/revocation-view';
import { StatusList } from '@sd-jwt/jwt-status-list';
import { createLocalJWKSet, jwtVerify } from 'jose';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { followFeed } from '../../packages/pep/src/feed.ts';
import {
  createRig,
  newId,
  type Rig,
  subjectsOf,
  TENANT,
  until,
} from '../../services/revocation/src/test/rig.ts';
import { type RawConnection, rawConnection } from './raw-bus.ts';

// The revocation service, its PostgreSQL and nats-server; enforcement points follow its feed as they do
// in a tool; attackers hold real credentials.

const MAX_STALE_MS = 1_500;
let rig: Rig;
let cleanup: AsyncDisposableStack;
beforeAll(async () => {
  rig = await createRig({ statusListBits: 256 });
  cleanup = new AsyncDisposableStack();
});
beforeEach(() => rig.ready());
afterAll(async () => {
  await cleanup?.disposeAsync();
  await rig?.[Symbol.asyncDispose]();
});

/** An enforcement point's picture of what is revoked, over a connection of its own. */
async function follow(
  name = 'erp-1',
  {
    natsUrl = rig.infra.natsUrl,
    skewMs = () => 0,
    wallSkewMs = () => 0,
  }: { natsUrl?: string; skewMs?: () => number; wallSkewMs?: () => number } = {},
) {
  const own = new AsyncDisposableStack();
  cleanup.use(own);
  const now = () => performance.now() + skewMs();
  const tenant = TENANT;
  const { seed } = rig.infra.pepCreds(tenant, name);
  const bus = await connectBus({ url: natsUrl, user: name, seed, name: `test-${name}` });
  own.defer(() => bus.close());
  const view = createRevocationView({
    tenant,
    maxStaleMs: MAX_STALE_MS,
    wallMs: () => Date.now() + wallSkewMs(),
  });
  const verifier = createVerifier(rig.infra.trust().keys.revocation);
  const feed = followFeed({ bus, verifier, tenant, view, monotonicMs: now });
  own.defer(() => feed.stop());
  await feed.ready(8_000);
  return {
    view,
    feed,
    verdict: (of: TokenSubjects) => view.check(of, now()),
    fresh: () => view.fresh(now()),
    stop: () => own.disposeAsync(),
  };
}
type Follower = Awaited<ReturnType<typeof follow>>;

async function token(over: Partial<TokenSubjects> = {}): Promise<TokenSubjects> {
  const { epoch, seq } = await rig.head();
  return subjectsOf({ epoch, seq }, { user: newId(), actors: [newId()], client: newId(), ...over });
}
const live = (pep: Follower, one: TokenSubjects) =>
  until(() => expect(pep.verdict(one)).toEqual({ verdict: 'live' }));
const attack = async (user: string): Promise<RawConnection> =>
  cleanup.use(await rawConnection(rig.infra, rig.infra.creds(user)));
const eventSubject = subjects.revocation(TENANT);
const beatSubject = subjects.revocationBeat(beatShard(TENANT));

test('row 21: a revocation is obeyed by every enforcement point within a second of its acknowledgement', async () => {
  const peps = [await follow(), await follow('erp-2'), await follow()];
  for (let round = 0; round < 40; round++) {
    const one = await token();
    for (const pep of peps) await live(pep, one);
    const kind = (['token', 'task', 'agent', 'user', 'client'] as const)[round % 5] as 'token';
    const id = { token: one.jti, task: one.task, agent: one.actors[0], user: one.user };
    await rig.revoke(kind, id[kind] ?? one.client);
    const acknowledged = performance.now();
    await until(() => {
      for (const pep of peps) expect(pep.verdict(one).verdict).toBe('revoked');
    });
    expect(performance.now() - acknowledged).toBeLessThan(1_000);
  }
  for (const pep of peps) await pep.stop();
});

test('row 22: a revoked parent, grandparent, agent, user or key ends the whole chain', async () => {
  const pep = await follow();
  const chain = {
    lineage: [newId(), newId()],
    actors: [newId(), newId()],
    keys: [newId(), newId()],
  };
  const cases = [
    ['token', chain.lineage[0], 'ancestor_revoked'],
    ['link', chain.lineage[1], 'ancestor_revoked'],
    ['agent', chain.actors[0], 'agent_revoked'],
    ['key', chain.keys[1], 'key_revoked'],
  ] as const;
  for (const [kind, id = '', reason] of cases) {
    const one = await token({
      lineage: kind === 'token' || kind === 'link' ? [newId(), id] : [],
      actors: kind === 'agent' ? [id, newId()] : [newId()],
      keys: kind === 'key' ? [id] : [],
    });
    await live(pep, one);
    await rig.revoke(kind, id);
    await until(() => expect(pep.verdict(one)).toMatchObject({ verdict: 'revoked', reason }));
  }
  for (const [entity, change] of [
    ['user', 'deactivated'],
    ['agent', 'deactivated'],
    ['agent', 'removed'],
  ] as const) {
    const id = newId();
    const one = await token(entity === 'user' ? { user: id } : { actors: [newId(), id] });
    await live(pep, one);
    await rig.sources.change({ entity, id, change });
    await until(() => expect(pep.verdict(one)).toMatchObject({ reason: `${entity}_revoked` }));
  }
  await pep.stop();
});

test('row 23: a revoked parent has no child, and one that was under way is born dead', async () => {
  const pep = await follow();
  const parent = await token();
  await rig.register(parent);
  // The child was decided; then the parent goes, then the child is registered and signed.
  const { head } = await rig.check([parent]);
  const child = await token({ lineage: [parent.jti], task: parent.task, rev: head });
  await rig.revoke('token', parent.jti);
  const place = await rig.register(child);
  expect((await rig.check([parent])).revoked).toEqual({
    kind: 'token',
    id: parent.jti,
    ancestor: false,
  });
  await until(() => expect(pep.verdict(child)).toMatchObject({ reason: 'ancestor_revoked' }));
  expect((await listAt(place.uri))[place.idx]).toBe(1);
  await pep.stop();
});

async function listAt(uri: string): Promise<number[]> {
  const { body } = await rig.app.http.inject(new URL(uri).pathname);
  const jwks = (await rig.app.http.inject('/.well-known/jwks.json')).json();
  const { payload } = await jwtVerify(body, createLocalJWKSet(jwks), {
    typ: 'statuslist+jwt',
    subject: uri,
    algorithms: ['Ed25519'],
  });
  const { lst } = payload['status_list'] as { lst: string };
  return StatusList.decompressStatusList(lst, 1).statusList;
}

/** Statements of somebody who can put the database back. */
async function asOwner(statements: readonly string[]): Promise<void> {
  const owner = new pg.Client({ connectionString: rig.infra.ownerUrl('revocation') });
  await owner.connect();
  try {
    await owner.query("set search_path to revocation; set remit.tenant to 'acme'");
    for (const statement of statements) await owner.query(statement);
  } finally {
    await owner.end();
  }
}

test('row 24: a store put back to an older copy shows no token as valid again, and revives none', async () => {
  const pep = await follow();
  const one = await token();
  const place = await rig.register(one);
  const { seq } = await rig.revoke('task', one.task);
  await until(() => expect(pep.verdict(one).verdict).toBe('revoked'));
  const other = await token();
  await live(pep, other);
  await asOwner([
    'begin',
    'update lease set renewals = renewals - 20',
    `delete from revocation where seq >= ${seq}`,
    `update head set seq = ${seq - 1}`,
    `update status_list set bits = decode(repeat('00', 32), 'hex')`,
    `delete from registration where jti = '${one.jti}'`,
    'commit',
  ]);
  await until(() => expect(pep.verdict(other)).toMatchObject({ reason: 'epoch_ended' }));
  expect(pep.verdict(one).verdict).toBe('revoked');
  expect(await listAt(place.uri)).not.toContain(0);
  await expect(rig.register(other)).rejects.toMatchObject({ details: { code: 'CONFLICT' } });
  await live(pep, await token());
  await pep.stop();
});

test('row 25: without beats everything is refused within the bound, and allowed again without a restart', async () => {
  const pep = await follow();
  const one = await token();
  await live(pep, one);
  rig.sources.mute('registry');
  const silentAt = performance.now();
  await until(() => expect(pep.verdict(one)).toEqual({ verdict: 'stale' }));
  // The second that a source may be late, the bound, and room for a busy machine.
  expect(performance.now() - silentAt).toBeLessThan(1_000 + MAX_STALE_MS + 1_500);
  rig.sources.unmute('registry');
  await live(pep, one);
  await pep.stop();
});

test('row 26: a list is signed by its own key for its own address, and has no other', async () => {
  const place = await rig.register(await token());
  const path = new URL(place.uri).pathname;
  const { body } = await rig.app.http.inject(path);
  const jwks = (await rig.app.http.inject('/.well-known/jwks.json')).json<{
    keys: { kid: string }[];
  }>();
  const [feedKey, statusKey] = jwks.keys;
  const verify = (keys: unknown, subject: string, typ = 'statuslist+jwt') =>
    jwtVerify(body, createLocalJWKSet({ keys } as never), { typ, subject });
  await verify([statusKey], place.uri);
  await expect(verify([feedKey], place.uri)).rejects.toMatchObject({
    code: 'ERR_JWKS_NO_MATCHING_KEY',
  });
  await expect(verify([statusKey], `${place.uri}0`)).rejects.toMatchObject({
    code: 'ERR_JWT_CLAIM_VALIDATION_FAILED',
  });
  await expect(verify([statusKey], place.uri, 'at+jwt')).rejects.toMatchObject({
    code: 'ERR_JWT_CLAIM_VALIDATION_FAILED',
  });
  const number = Number(path.split('/').at(-1));
  for (const other of [-1, 1.5, number + 1, 2 ** 31, 2 ** 53, '0x10', '1e3', 'NaN']) {
    const answer = await rig.app.http.inject(path.replace(String(number), String(other)));
    expect([400, 404], String(other)).toContain(answer.statusCode);
  }
  expect((await rig.app.http.inject(path.replace(TENANT, 'globex'))).statusCode).toBe(404);
  const decoded = await listAt(place.uri);
  expect(decoded).toHaveLength(256);
});

test('row 27: no two tokens share an index, also when lists fill up, and each revocation shows', async () => {
  const wave = async () => {
    const { epoch, seq } = await rig.head();
    return Promise.all(
      Array.from({ length: 100 }, async () => {
        const one = subjectsOf({ epoch, seq }, { user: newId() });
        return { one, place: await rig.register(one) };
      }),
    );
  };
  const all = [...(await wave()), ...(await wave()), ...(await wave()), ...(await wave())];
  expect(new Set(all.map(({ place }) => `${place.uri} ${place.idx}`)).size).toBe(all.length);
  expect(new Set(all.map(({ place }) => place.uri)).size).toBeGreaterThan(1);
  const [first] = all;
  if (first === undefined) throw new Error('nothing was registered');
  await rig.revoke('token', first.one.jti);
  expect((await listAt(first.place.uri))[first.place.idx]).toBe(1);
});

test('row 54: nobody but the revocation service publishes to its feed, and no other signature is believed', async () => {
  const pep = await follow();
  const one = await token();
  await live(pep, one);
  for (const user of ['registry', 'pdp', 'issuer', 'audit', 'operator']) {
    const attacker = await attack(user);
    expect(await attacker.publish(eventSubject), user).toBe('refused');
    expect(await attacker.publish(beatSubject), user).toBe('refused');
  }
  // With the rights of the service and the key of another.
  const inside = await attack('revocation');
  const { epoch, seq } = await rig.head();
  const entry = {
    epoch,
    seq: seq + 1,
    verb: 'revoke',
    kind: 'task',
    id: one.task,
    at: 1,
    ends: 9e9,
  };
  const event = {
    specversion: '1.0',
    id: newId(),
    source: 'urn:remit:revocation',
    type: 'dev.remit.revocation.revoked.v1',
    subject: TENANT,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    dataschema: 'urn:remit:schema:revocation.revoked:1',
    data: entry,
  };
  const beat = { shard: beatShard(TENANT), epoch, term: 9_999, n: 1, time: Date.now(), heads: {} };
  const refused = pep.feed.refused();
  let sent = 0;
  for (const purpose of ['registry-bus', 'pdp-bus'] as const) {
    const signer = createSigner(rig.infra.signer(purpose));
    const forged = [
      [eventSubject, signer.sign(SIGNED.revocation, JSON.stringify(event))],
      [beatSubject, signer.sign(SIGNED.beat, JSON.stringify(beat))],
      [
        beatSubject,
        signer.sign(
          SIGNED.feedKey,
          JSON.stringify({ use: 'revocation', jwk: signer.publicJwks().keys[0], at: 1 }),
        ),
      ],
    ] as const;
    for (const [subject, jws] of forged) {
      expect(await inside.publish(subject, jws)).toBe('sent');
      sent++;
    }
  }
  await inside.publish(eventSubject, JSON.stringify(event));
  await until(() => expect(pep.feed.refused()).toBe(refused + sent + 1));
  expect(pep.verdict(one)).toEqual({ verdict: 'live' });
  expect(pep.view.stats().term).toBeLessThan(9_999);
  expect((await rig.head()).seq).toBe(seq);
  await pep.stop();
});

test('row 55: answers of a service land on no subject of the feed', async () => {
  const { seq } = await rig.head();
  const pep = await follow();
  const attacker = await attack('issuer');
  const refused = pep.feed.refused();
  for (const reply of [eventSubject, beatSubject]) {
    const question = `remit.rpc.revocation.head.${TENANT}.issuer`;
    expect(await attacker.publish(question, JSON.stringify({ nonce: newId() }), reply)).toBe(
      'sent',
    );
  }
  // The next questions are answered, so the two above were looked at.
  await rig.head();
  const one = await token();
  await live(pep, one);
  expect(pep.feed.refused()).toBe(refused);
  expect((await rig.head()).seq).toBe(seq);
  await pep.stop();
});

test('row 56: kept beats, events and answers, sent again or as something else, change nothing', async () => {
  const inside = await attack('revocation');
  const listener = await attack('issuer');
  const kept: [string, string][] = [];
  for (const subject of [eventSubject, beatSubject]) {
    listener.nc.subscribe(subject, {
      callback: (_, message) => kept.push([subject, message.string()]),
    });
  }
  await listener.nc.flush();
  const pep = await follow();
  const dead = await token();
  await rig.revoke('task', dead.task);
  await until(() => expect(pep.verdict(dead).verdict).toBe('revoked'));
  await until(() => expect(kept.length).toBeGreaterThan(4));
  const [, event] = kept.find(([subject]) => subject === eventSubject) as [string, string];
  const beats = kept.filter(([subject]) => subject === beatSubject).map(([, jws]) => jws);
  const before = pep.view.stats();
  for (const jws of beats.slice(0, 3)) await inside.publish(beatSubject, jws);
  await until(() => expect(pep.view.stats().beatsRefused).toBe(before.beatsRefused + 3));
  // An event as a beat and a beat as an event: signed by the right key, of the wrong type.
  const refused = pep.feed.refused();
  await inside.publish(beatSubject, event);
  await inside.publish(eventSubject, beats[0] ?? '');
  await until(() => expect(pep.feed.refused()).toBe(refused + 2));
  for (let times = 0; times < 3; times++) await inside.publish(eventSubject, event);
  await inside.nc.flush();
  expect(pep.verdict(dead).verdict).toBe('revoked');
  expect(pep.view.rev()?.seq).toBe((await rig.head()).seq);
  // There is no event that takes a revocation back.
  const { epoch, seq } = await rig.head();
  const signer = createSigner(rig.infra.signer('revocation-bus'));
  const json = JSON.parse(Buffer.from(event.split('.')[1] as string, 'base64url').toString());
  const undo = { ...json, data: { ...json.data, epoch, seq: seq + 1, verb: 'unrevoke' } };
  const refusedBefore = pep.feed.refused();
  await inside.publish(eventSubject, signer.sign(SIGNED.revocation, JSON.stringify(undo)));
  await until(() => expect(pep.feed.refused()).toBe(refusedBefore + 1));
  expect(pep.verdict(dead).verdict).toBe('revoked');
  await pep.stop();
});

test('row 59: an enforcement point that was suspended allows nothing before it has caught up; others go on', async () => {
  let skew = 0;
  let wall = 0;
  const slept = await follow('erp-1', { skewMs: () => skew, wallSkewMs: () => wall });
  const awake = await follow('erp-2');
  const one = await token();
  await live(slept, one);
  await live(awake, one);
  // A process that was stopped: when it wakes its monotonic clock has gone on, and nothing came.
  skew = MAX_STALE_MS + 1_000;
  expect(slept.verdict(one)).toEqual({ verdict: 'stale' });
  expect(awake.verdict(one)).toEqual({ verdict: 'live' });
  skew = 0;
  await live(slept, one);
  // A machine that was suspended: the monotonic clock stood still, and the last beat looks young.
  wall = 60_000;
  expect(slept.verdict(one)).toEqual({ verdict: 'stale' });
  expect(awake.verdict(one)).toEqual({ verdict: 'live' });
  await live(slept, one);
  await rig.revoke('task', one.task);
  for (const pep of [slept, awake]) {
    await until(() => expect(pep.verdict(one).verdict).toBe('revoked'));
    await pep.stop();
  }
});

test('row 60: nobody else joins the queue of the revocation service or hears its answers', async () => {
  for (const user of ['issuer', 'pdp', 'registry', 'audit', 'operator']) {
    const attacker = await attack(user);
    expect(await attacker.subscribe('remit.rpc.revocation.*.*.*', 'revocation'), user).toBe(
      'refused',
    );
    expect(await attacker.subscribe('_R.>'), user).toBe('refused');
    expect(await attacker.subscribe('remit.rpc.revocation.check.acme.issuer'), user).toBe(
      'refused',
    );
  }
  const pep = cleanup.use(await rawConnection(rig.infra, rig.infra.pepCreds(TENANT, 'erp-2')));
  expect(await pep.subscribe('remit.rpc.revocation.*.*.*', 'revocation')).toBe('refused');
  expect(await pep.subscribe(subjects.revocation('globex'))).toBe('refused');
  expect(await pep.subscribe('remit.revocation.>')).toBe('refused');
  const foreign = [...Array(64).keys()].find(
    (shard) => shard !== beatShard(TENANT) && shard !== beatShard('globex'),
  ) as number;
  expect(await pep.subscribe(subjects.revocationBeat(foreign))).toBe('refused');
});

test('row 61: a line that is cut, both ways or silently, ends what is allowed within the bound and heals', async () => {
  const { url, proxy } = await rig.infra.throughProxy(rig.infra.natsUrl);
  const pep = await follow('erp-1', { natsUrl: url });
  const one = await token();
  await live(pep, one);
  for (const ways of ['both', 'in', 'out', 'closed'] as const) {
    const dead = await token();
    await live(pep, dead);
    const cutAt = performance.now();
    if (ways === 'closed') proxy.cut();
    else proxy.freeze(ways);
    await rig.revoke('task', dead.task);
    await until(() => expect(pep.verdict(one)).toEqual({ verdict: 'stale' }));
    expect(performance.now() - cutAt).toBeLessThan(MAX_STALE_MS + 1_500);
    expect(pep.verdict(dead).verdict).not.toBe('live');
    proxy.heal();
    await live(pep, one);
    expect(pep.verdict(dead).verdict).toBe('revoked');
  }
  await pep.stop();
}, 40_000);

test('row 61: a stream that is wiped under the registry’s changes is noticed: everybody is asked about again', async () => {
  const pep = await follow();
  const one = await token();
  await live(pep, one);
  await rig.sources.change({ entity: 'user', id: one.user, change: 'deactivated' }, { lost: true });
  await until(() => expect(pep.verdict(one).verdict).not.toBe('live'), 14_000);
  await until(() => expect(pep.verdict(one)).toMatchObject({ verdict: 'recheck' }), 14_000);
  await pep.stop();
}, 30_000);
