import { type Bus, connectBus, createSigner, createVerifier } from '@remit/bus';
import { SIGNED, type TokenSubjects } from '@remit/contracts';
import { createRevocationView, type RevocationView } from '@remit/revocation-view';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { feedService, newId } from './feed.testing.ts';
import { type Feed, followFeed } from './feed.ts';

// A real nats-server with the production permissions, and a revocation service that the test moves.

let infra: TestInfra;
let bus: Bus;
let service: Awaited<ReturnType<typeof feedService>>;
let view: RevocationView;
let feed: Feed;
const now = () => performance.now();

beforeAll(async () => {
  infra = await testInfra();
  bus = await connectBus({ url: infra.natsUrl, name: 'erp-1', ...infra.pepCreds('acme', 'erp-1') });
});
beforeEach(async () => {
  service = await feedService(infra);
  follow();
});
afterEach(async () => {
  await feed.stop();
  await service[Symbol.asyncDispose]();
});
afterAll(async () => {
  await bus?.close();
  await infra?.[Symbol.asyncDispose]();
});

function follow(): void {
  view = createRevocationView({ tenant: 'acme', maxStaleMs: 600 });
  feed = followFeed({
    bus,
    verifier: createVerifier({ keys: infra.trust().keys.revocation }),
    tenant: 'acme',
    view,
    monotonicMs: now,
  });
}
async function ready(): Promise<void> {
  service.startBeating();
  await feed.ready(5_000);
}
const token = (task: string, seq = service.seq()): TokenSubjects => ({
  jti: newId(),
  lineage: [],
  rev: { epoch: service.state.epoch, seq },
  task,
  actors: ['procurement-agent'],
  user: 'alice',
  client: 'procurement-agent',
  keys: ['kid'],
});
const verdict = (task: string, seq?: number) => view.check(token(task, seq), now()).verdict;

describe('following the feed', () => {
  it('starts with the head and a snapshot, and is fresh only with a beat', async () => {
    await service.revoke('task_before');
    await expect.poll(() => view.rev()).toEqual({ epoch: 'epoch-01', seq: 1 });
    expect(service.state.asked.slice(0, 2)).toEqual(['head', 'snapshot']);
    expect(verdict('task_other')).toBe('stale');
    await ready();
    expect(verdict('task_other')).toBe('live');
    expect(verdict('task_before', 0)).toBe('revoked');
  });

  it('takes an event as it comes, and asks nobody', async () => {
    await ready();
    const asked = service.state.asked.length;
    await service.revoke('task_1');
    await expect.poll(() => verdict('task_1', 0)).toBe('revoked');
    expect(service.state.asked).toHaveLength(asked);
  });

  // Goes red without GAP_MS: every enforcement point would ask as soon as a beat is ahead of an event.
  it('does not ask for what a beat speaks of while it is on its way', async () => {
    await ready();
    service.stopBeating();
    const asked = service.state.asked.length;
    for (let n = 1; n <= 5; n++) {
      const { signed } = await service.revoke(`task_${n}`, { lost: true });
      service.bus.publish(service.beatSubject, service.sign(SIGNED.beat, service.beatOf()));
      await service.send(service.eventSubject, signed);
      await expect.poll(() => verdict(`task_${n}`, 0), { interval: 5 }).toBe('revoked');
    }
    expect(service.state.asked).toHaveLength(asked);
  });

  // Goes red when the head of a beat is not looked at: the lost event is then never known of.
  it('notices a lost event by the next beat, and fills the gap page by page', async () => {
    await ready();
    for (let n = 1; n <= 5; n++) await service.revoke(`task_${n}`, { lost: true });
    await expect.poll(() => verdict('task_5', 0)).toBe('revoked');
    expect(service.state.asked.filter((method) => method === 'since')).toHaveLength(3);
    await expect.poll(() => verdict('task_live')).toBe('live');
  });

  it('catches up within one call with a token that is ahead of it', async () => {
    await ready();
    service.stopBeating();
    await service.revoke('task_lost', { lost: true });
    expect(verdict('task_new')).toBe('behind');
    // One answer raises the next question: the head first, then what lies between.
    await feed.catchUp(400);
    expect(verdict('task_new')).toBe('live');
  });

  it('grows stale in silence and is fresh again without a restart', async () => {
    await ready();
    service.stopBeating();
    await expect.poll(() => verdict('task_1')).toBe('stale');
    service.startBeating();
    await expect.poll(() => verdict('task_1')).toBe('live');
  });

  it('ends catching up in time also when nobody answers', async () => {
    await ready();
    service.stopBeating();
    const { promise: later, resolve: answer } = Promise.withResolvers<void>();
    service.state.during = () => later;
    await service.revoke('task_lost', { lost: true });
    const startedAt = now();
    expect(verdict('task_new')).toBe('behind');
    await feed.catchUp(100);
    expect(now() - startedAt).toBeLessThan(500);
    expect(verdict('task_new')).toBe('behind');
    answer();
  });

  it('goes over to a new epoch, which ends every token of the old one', async () => {
    await ready();
    const old = token('task_1');
    service.state.epoch = 'epoch-02';
    service.state.entries = [];
    await expect.poll(() => view.rev()).toEqual({ epoch: 'epoch-02', seq: 0 });
    expect(view.check(old, now())).toMatchObject({ verdict: 'revoked', reason: 'epoch_ended' });
    await expect.poll(() => verdict('task_2')).toBe('live');
  });

  // Goes red when an answer that leaves the same need is followed by the next question at once.
  it('does not hurry a store that can’t fill the gap, and allows nothing meanwhile', async () => {
    await ready();
    service.state.withheld = true;
    await service.revoke('task_1', { lost: true });
    await expect.poll(() => service.state.asked.at(-1)).toBe('since');
    const from = service.state.asked.length;
    const startedAt = now();
    await expect
      .poll(() => service.state.asked.length, { timeout: 4_000 })
      .toBeGreaterThanOrEqual(from + 3);
    expect(now() - startedAt).toBeGreaterThan(250);
    expect(verdict('task_9')).toBe('stale');
    service.state.withheld = false;
    await expect.poll(() => verdict('task_9')).toBe('live');
  });
});

describe('a message that is not what it must be', () => {
  // Each goes red when the check of signature, type or shape is taken out of followFeed().
  it('is refused and changes nothing', async () => {
    await ready();
    const forger = createSigner(infra.signer('registry-bus'));
    const { entry } = await service.revoke('task_good');
    await expect.poll(() => verdict('task_good', 0)).toBe('revoked');
    const next = { ...entry, seq: entry.seq + 1, id: 'task_forged' };
    const event = service.eventOf(next);
    const good = service.sign(SIGNED.revocation, event);
    const [head, payload, signature] = good.split('.') as [string, string, string];
    const other = service.sign(SIGNED.revocation, service.eventOf({ ...next, id: 'task_other' }));
    const bad = [
      JSON.stringify(event),
      forger.sign(SIGNED.revocation, JSON.stringify(event)),
      service.sign(SIGNED.beat, event),
      service.sign(SIGNED.reply, event),
      `${head}.${other.split('.')[1]}.${signature}`,
      `${head}.${payload}.`,
      `${Buffer.from('{"alg":"none","typ":"remit-revocation+jws"}').toString('base64url')}.${payload}.`,
      service.sign(SIGNED.revocation, { ...event, more: 1 }),
      service.sign(SIGNED.revocation, { ...event, data: { ...next, seq: '3' } }),
      service.sign(SIGNED.revocation, next),
      '',
      'x'.repeat(10_000),
    ];
    const before = feed.refused();
    for (const text of bad) await service.send(service.eventSubject, text);
    await expect.poll(() => feed.refused()).toBe(before + bad.length);
    expect(verdict('task_forged', 0)).toBe('live');
    expect(view.rev()?.seq).toBe(1);
  });

  // Goes red when the tenant inside the signature is not compared: sequences of two tenants look alike.
  it('is another tenant’s event on this one’s subject: it closes no gap', async () => {
    await ready();
    const { entry } = await service.revoke('task_lost', { lost: true });
    const foreign = service.eventOf({ ...entry, id: 'task_foreign' }, 'globex');
    service.state.during = () => Promise.reject(new Error('not now'));
    await service.send(service.eventSubject, service.sign(SIGNED.revocation, foreign));
    await expect.poll(() => view.stats().eventsRefused).toBe(1);
    expect(view.rev()?.seq).toBe(0);
    // From the next beat on the view knows that it missed something; the foreign event did not fill it.
    await expect.poll(() => view.check(token('task_x', 0), now()).verdict).not.toBe('live');
    expect(view.rev()?.seq).toBe(0);
    service.state.during = async () => {};
    await expect.poll(() => verdict('task_lost', 0)).toBe('revoked');
  });

  // Goes red without the numbers of a term: an attacker who kept beats could keep a view fresh.
  it('is a beat that was heard before, a beat of an older term or of another shard', async () => {
    await ready();
    service.stopBeating();
    const last = service.sign(SIGNED.beat, service.beatOf());
    await service.send(service.beatSubject, last);
    const refused = view.stats().beatsRefused;
    await service.send(service.beatSubject, last);
    await service.beat({ term: 0, n: 9_999 });
    await service.beat({ shard: (service.beatOf().shard + 1) % 64 });
    await expect.poll(() => view.stats().beatsRefused).toBe(refused + 3);
    await expect.poll(() => verdict('task_1')).toBe('stale');
    await service.send(service.beatSubject, last);
    expect(verdict('task_1')).toBe('stale');
  });

  it('is a beat signed by another service: the view grows stale', async () => {
    await ready();
    service.stopBeating();
    const forger = createSigner(infra.signer('pdp-bus'));
    const before = feed.refused();
    await expect
      .poll(async () => {
        const beat = JSON.stringify(service.beatOf());
        await service.send(service.beatSubject, forger.sign(SIGNED.beat, beat));
        return verdict('task_1');
      })
      .toBe('stale');
    expect(feed.refused()).toBeGreaterThan(before);
  });

  // Goes red when the nonce is not compared: an old head, replayed, would hide a revocation.
  it('is a head that answers another question', async () => {
    service.state.headNonce = () => 'of-another-question';
    service.startBeating();
    await expect(feed.ready(500)).rejects.toThrow('not fresh within 500 ms');
    expect(view.rev()).toBeUndefined();
  });

  it('comes in any order: what is out of order waits for the one before it', async () => {
    await ready();
    service.stopBeating();
    const first = await service.revoke('task_1', { lost: true });
    const second = await service.revoke('task_2', { lost: true });
    service.state.during = () => Promise.reject(new Error('not now'));
    await service.send(service.eventSubject, second.signed);
    await expect.poll(() => verdict('task_2', 0)).toBe('revoked');
    expect(view.rev()?.seq).toBe(0);
    expect(view.check(token('task_9', 0), now()).verdict).toBe('stale');
    await service.send(service.eventSubject, first.signed);
    await expect.poll(() => view.rev()?.seq).toBe(2);
    expect(verdict('task_1', 0)).toBe('revoked');
    service.state.during = async () => {};
  });
});

it('a service that starts again, with a higher term and numbers from one, is followed on', async () => {
  await ready();
  service.stopBeating();
  await service.revoke('task_1');
  await expect.poll(() => verdict('task_1', 0)).toBe('revoked');
  service.state.term = 2;
  service.state.n = 0;
  service.startBeating();
  await expect.poll(() => view.stats().term).toBe(2);
  expect(verdict('task_2')).toBe('live');
  expect(verdict('task_1', 0)).toBe('revoked');
});
