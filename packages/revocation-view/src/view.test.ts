import type { RevocationKind, TokenSubjects } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import type { RevocationView } from './types.ts';
import {
  b64id,
  beatOf,
  EPOCH,
  entryOf,
  eventOf,
  headOf,
  headsOf,
  sinceOf,
  snapshotOf,
  subjectsOf,
} from './view.testing.ts';
import { createRevocationView } from './view.ts';

const T0 = 1_000_000;
const rev = (seq: number, epoch = EPOCH) => ({ epoch, seq });

/** A view at monotonic time 0 whose feed's clock shows T0, fresh at `seq`. */
function freshView(seq = 0, entries = [] as ReturnType<typeof entryOf>[]): RevocationView {
  const view = createRevocationView({ tenant: 'acme' });
  view.applyHead(headOf({ seq }), 0, 0);
  view.applySnapshot([snapshotOf(seq, entries)]);
  view.applyBeat(beatOf({ heads: headsOf(seq) }), 0);
  expect(view.fresh(0)).toBe(true);
  return view;
}

describe('a machine that was suspended', () => {
  // Red when noticeSleep() is taken out of fresh().
  it('believes nothing that it heard before, until a head that it asked for afterwards', () => {
    let wallMs = 5_000_000;
    const view = createRevocationView({ tenant: 'acme', wallMs: () => wallMs });
    const follow = (nowMs: number, n: number) => {
      view.applyHead(headOf({ time: 1_000_000 + nowMs }), nowMs, nowMs);
      view.applyBeat(beatOf({ n, time: 1_000_000 + nowMs }), nowMs);
    };
    follow(0, 1);
    expect(view.check(subjectsOf(), 10)).toEqual({ verdict: 'live' });
    // Set back, or a little forward: no sleep.
    wallMs -= 3_600_000;
    expect(view.fresh(20)).toBe(true);
    wallMs += 900;
    expect(view.fresh(30)).toBe(true);
    // The monotonic clock stood still while the wall clock went on.
    wallMs += 60_000;
    expect(view.check(subjectsOf(), 31)).toEqual({ verdict: 'stale' });
    expect(view.needs(31)).toEqual({ want: 'head' });
    // What lay in the socket meanwhile changes nothing.
    expect(view.applyBeat(beatOf({ n: 2, time: 1_000_031 }), 32)).toBe(true);
    expect(view.check(subjectsOf(), 33)).toEqual({ verdict: 'stale' });
    follow(40, 3);
    expect(view.check(subjectsOf(), 41)).toEqual({ verdict: 'live' });
  });
});

describe('a revocation view', () => {
  it('knows nothing and denies at birth', () => {
    const view = createRevocationView({ tenant: 'acme' });
    expect(view.check(subjectsOf(), 0)).toEqual({ verdict: 'stale' });
    expect(view.needs(0)).toEqual({ want: 'head' });
    expect(view.rev()).toBeUndefined();
    expect(view.feedTimeMs(0)).toBeUndefined();
    expect(view.applyBeat(beatOf(), 0)).toBe(false);
    expect(view.applyEvent(eventOf(entryOf()), 0)).toBe(false);
    expect(view.applySnapshot([snapshotOf(0, [])])).toBe(false);
  });

  it('asks for head, snapshot and what is missing, in this order, and is fresh with a beat', () => {
    const view = createRevocationView({ tenant: 'acme' });
    view.applyHead(headOf({ seq: 3 }), 0, 10);
    expect(view.needs(10)).toEqual({ want: 'snapshot' });
    view.applySnapshot([snapshotOf(3, [])]);
    expect(view.needs(10)).toBeNull();
    expect(view.fresh(10)).toBe(false);
    expect(view.applyBeat(beatOf({ heads: headsOf(4), time: T0 + 5 }), 10)).toBe(true);
    expect(view.fresh(10)).toBe(false);
    expect(view.needs(10)).toEqual({ want: 'since', after: 3, epoch: EPOCH });
    view.applySince(sinceOf(4, [entryOf({ seq: 4 })]));
    expect(view.fresh(10)).toBe(true);
    expect(view.rev()).toEqual({ epoch: EPOCH, seq: 4 });
    expect(view.needs(60_009)).toEqual({ want: 'head' });
  });

  it('needs no snapshot of a tenant in which nothing was ever revoked', () => {
    const view = createRevocationView({ tenant: 'acme' });
    view.applyHead(headOf(), 0, 0);
    expect(view.applyBeat(beatOf(), 0)).toBe(true);
    expect(view.check(subjectsOf(), 0)).toEqual({ verdict: 'live' });
  });

  it.each<[RevocationKind, string, string, Partial<TokenSubjects>]>([
    ['token', b64id(1), 'token_revoked', {}],
    ['token', 'a-jti-of-another-form', 'token_revoked', { jti: 'a-jti-of-another-form' }],
    ['token', b64id(7), 'ancestor_revoked', { lineage: [b64id(6), b64id(7)] }],
    ['link', b64id(7), 'ancestor_revoked', { lineage: [b64id(7)] }],
    ['link', b64id(1), 'token_revoked', {}],
    ['task', `task_${b64id(2)}`, 'task_revoked', {}],
    ['key', 'kid-1', 'key_revoked', {}],
    ['agent', 'agent-2', 'agent_revoked', { actors: ['agent-1', 'agent-2'] }],
    ['user', 'alice', 'user_revoked', {}],
    ['client', 'agent-1', 'client_revoked', {}],
    ['tenant', 'acme', 'tenant_revoked', {}],
  ])('refuses what a revocation of a %s names (%s)', (kind, id, reason, over) => {
    const view = freshView(4);
    const subjects = subjectsOf({ ...over, rev: rev(4) });
    expect(view.check(subjects, 1)).toEqual({ verdict: 'live' });
    expect(view.applyEvent(eventOf(entryOf({ seq: 5, kind, id })), 1)).toBe(true);
    expect(view.check(subjects, 1)).toEqual({ verdict: 'revoked', reason, kind, id, seq: 5 });
  });

  it('lets live what was decided after a revocation of its agent, user, client or tenant', () => {
    const view = freshView();
    const wide = { agent: 'agent-1', user: 'alice', client: 'agent-1', tenant: 'acme' } as const;
    for (const [at, [kind, id]] of Object.entries(wide).entries()) {
      view.applyEvent(eventOf(entryOf({ seq: at + 1, kind: kind as 'user', id })), 1);
    }
    expect(view.check(subjectsOf({ rev: rev(3) }), 1)).toMatchObject({ reason: 'tenant_revoked' });
    expect(view.check(subjectsOf({ rev: rev(4) }), 1)).toEqual({ verdict: 'live' });
  });

  it('refuses a revoked token, link, task or key whatever `rev` it claims', () => {
    for (const [kind, id] of [
      ['token', b64id(1)],
      ['task', `task_${b64id(2)}`],
      ['key', 'kid-1'],
    ] as const) {
      const view = freshView(1, [entryOf({ kind, id })]);
      const claimed = rev(Number.MAX_SAFE_INTEGER);
      expect(view.check(subjectsOf({ rev: claimed }), 1)).toMatchObject({ verdict: 'revoked' });
    }
  });

  it('asks for a recheck of what was decided before facts changed', () => {
    const view = freshView();
    view.applyEvent(eventOf(entryOf({ seq: 1, verb: 'recheck', kind: 'tenant', id: 'acme' })), 1);
    expect(view.check(subjectsOf({ rev: rev(0) }), 1)).toEqual({ verdict: 'recheck', seq: 1 });
    expect(view.check(subjectsOf({ rev: rev(1) }), 1)).toEqual({ verdict: 'live' });
  });

  it('refuses a token ahead of it until it caught up, and asks for the head', () => {
    const view = freshView(1, [entryOf({ id: b64id(9) })]);
    expect(view.check(subjectsOf({ rev: rev(2) }), 5)).toEqual({ verdict: 'behind' });
    expect(view.needs(5)).toEqual({ want: 'head' });
    // The token's word doesn't make the view doubt itself: others go on.
    expect(view.check(subjectsOf({ rev: rev(1) }), 5)).toEqual({ verdict: 'live' });
    view.applyHead(headOf({ seq: 2, time: T0 + 6 }), 6, 6);
    expect(view.needs(6)).toEqual({ want: 'since', after: 1, epoch: EPOCH });
    view.applySince(sinceOf(2, [entryOf({ seq: 2, id: b64id(8) })]));
    expect(view.check(subjectsOf({ rev: rev(2) }), 6)).toEqual({ verdict: 'live' });
  });
});

describe('freshness', () => {
  it('ends when the youngest beat is older than the bound, and comes back without a restart', () => {
    const view = freshView();
    expect(view.fresh(2_996)).toBe(true);
    expect(view.fresh(3_001)).toBe(false);
    expect(view.check(subjectsOf(), 3_001)).toEqual({ verdict: 'stale' });
    expect(view.needs(3_001)).toEqual({ want: 'head' });
    view.applyBeat(beatOf({ n: 2, time: T0 + 3_000 }), 3_010);
    expect(view.check(subjectsOf(), 3_010)).toEqual({ verdict: 'live' });
  });

  it('is the age of a beat on the feed clock, not the time since one arrived', () => {
    const view = freshView();
    expect(view.applyBeat(beatOf({ n: 2, time: T0 + 100 }), 10_000)).toBe(true);
    expect(view.fresh(10_000)).toBe(false);
  });

  it('counts the round trip of the head against itself', () => {
    const view = createRevocationView({ tenant: 'acme', maxStaleMs: 500 });
    view.applyHead(headOf(), 0, 400);
    view.applyBeat(beatOf({ time: T0 + 100 }), 400);
    expect(view.feedTimeMs(400)).toBeCloseTo(T0 + 400.4, 1);
    expect(view.fresh(590)).toBe(true);
    expect(view.fresh(605)).toBe(false);
  });

  it('is not gained by another shard, an older term, an older or the same number', () => {
    const view = freshView();
    view.applyBeat(beatOf({ term: 2, n: 5, time: T0 + 10 }), 10);
    for (const old of [
      beatOf({ term: 2, n: 6, time: T0 + 3_900, shard: 31 }),
      beatOf({ term: 1, n: 9, time: T0 + 3_900 }),
      beatOf({ term: 2, n: 4, time: T0 + 3_900 }),
      beatOf({ term: 2, n: 5, time: T0 + 3_900 }),
    ]) {
      expect(view.applyBeat(old, 4_000)).toBe(false);
      expect(view.fresh(4_000)).toBe(false);
    }
    expect(view.applyBeat(beatOf({ term: 2, n: 6, time: T0 + 3_900 }), 4_000)).toBe(true);
    expect(view.fresh(4_000)).toBe(true);
  });

  it('refuses beats of a term below the one that a head named', () => {
    const view = freshView();
    view.applyHead(headOf({ term: 3, time: T0 + 10 }), 10, 10);
    expect(view.applyBeat(beatOf({ term: 2, n: 9, time: T0 + 11 }), 11)).toBe(false);
    expect(view.applyBeat(beatOf({ term: 3, n: 0, time: T0 + 11 }), 11)).toBe(true);
  });

  it('is lost to a beat from the future until a head asked for later explains it', () => {
    const view = freshView();
    expect(view.applyBeat(beatOf({ n: 2, time: T0 + 60_000 }), 10)).toBe(false);
    expect(view.fresh(10)).toBe(false);
    expect(view.needs(10)).toEqual({ want: 'head' });
    // Asked before, received after: explains nothing.
    view.applyHead(headOf({ time: T0 + 9 }), 9, 12);
    expect(view.fresh(12)).toBe(false);
    view.applyHead(headOf({ time: T0 + 60_020 }), 20, 20);
    expect(view.applyBeat(beatOf({ n: 2, time: T0 + 60_020 }), 20)).toBe(true);
    expect(view.fresh(20)).toBe(true);
  });

  it('is lost when a beat after a long silence does not list our head', () => {
    const view = freshView();
    view.applyBeat(beatOf({ n: 2, time: T0 + 49_000 }), 49_000);
    expect(view.fresh(49_000)).toBe(true);
    expect(view.applyBeat(beatOf({ n: 3, time: T0 + 100_000 }), 100_000)).toBe(false);
    expect(view.fresh(100_000)).toBe(false);
    view.applyHead(headOf({ time: T0 + 100_010 }), 100_010, 100_010);
    view.applyBeat(beatOf({ n: 4, time: T0 + 100_010 }), 100_010);
    expect(view.fresh(100_010)).toBe(true);
  });

  it('is lost by a head that is ahead, and by a gap in the events', () => {
    const view = freshView(1, [entryOf({ id: b64id(9) })]);
    view.applyEvent(eventOf(entryOf({ seq: 3, id: b64id(3) })), 1);
    expect(view.check(subjectsOf({ jti: b64id(3), rev: rev(1) }), 1)).toMatchObject({ seq: 3 });
    expect(view.check(subjectsOf({ jti: b64id(4), rev: rev(1) }), 1)).toEqual({
      verdict: 'stale',
    });
    expect(view.needs(1)).toEqual({ want: 'since', after: 1, epoch: EPOCH });
    view.applyEvent(eventOf(entryOf({ seq: 2, id: b64id(2) })), 1);
    expect(view.rev()).toEqual(rev(3));
    expect(view.fresh(1)).toBe(true);
    expect(view.stats().gaps).toBe(1);
  });

  it('takes a snapshot instead of ten thousand entries', () => {
    const view = freshView(1);
    view.applyBeat(beatOf({ n: 2, heads: headsOf(10_002) }), 1);
    expect(view.needs(1)).toEqual({ want: 'snapshot' });
  });
});

describe('an epoch', () => {
  it('that is unknown takes freshness away until a head names the one that is now', () => {
    for (const bring of [
      (view: RevocationView) => view.applyEvent(eventOf(entryOf({ epoch: 'other-01' })), 10),
      (view: RevocationView) => view.applyBeat(beatOf({ epoch: 'other-01', n: 9 }), 10),
    ]) {
      const view = freshView();
      expect(bring(view)).toBe(false);
      expect(view.fresh(10)).toBe(false);
      expect(view.needs(10)).toEqual({ want: 'head' });
      view.applyHead(headOf({ time: T0 + 11 }), 11, 11);
      expect(view.fresh(11)).toBe(true);
      // Now it is known to be over, and its replays change nothing.
      expect(bring(view)).toBe(false);
      expect(view.fresh(11)).toBe(true);
    }
  });

  it('that ended kills its tokens, keeps what is for ever, and never comes back', () => {
    const view = freshView(2, [
      entryOf({ seq: 1, id: b64id(5) }),
      entryOf({ seq: 2, kind: 'user', id: 'alice' }),
    ]);
    const next = headOf({ epoch: 'epoch-02', term: 1, time: T0 + 10 });
    expect(view.applyHead(next, 10, 10)).toBe(true);
    expect(view.check(subjectsOf({ rev: rev(2) }), 10)).toMatchObject({ reason: 'epoch_ended' });
    view.applyBeat(beatOf({ epoch: 'epoch-02', n: 0, time: T0 + 10 }), 10);
    // Sequences of the old epoch say nothing about tokens of the new one.
    expect(view.check(subjectsOf({ rev: rev(0, 'epoch-02') }), 10)).toEqual({ verdict: 'live' });
    const old = subjectsOf({ jti: b64id(5), rev: rev(0, 'epoch-02') });
    expect(view.check(old, 10)).toMatchObject({ reason: 'token_revoked' });
    expect(view.applyHead(headOf({ seq: 2, time: T0 + 20 }), 20, 20)).toBe(false);
    expect(view.applyEvent(eventOf(entryOf({ seq: 3 })), 20)).toBe(false);
    expect(view.rev()).toEqual(rev(0, 'epoch-02'));
  });

  it('of a token that nobody knows makes only that token wait', () => {
    const view = freshView();
    const strange = subjectsOf({ rev: rev(0, 'unknown1') });
    expect(view.check(strange, 5)).toEqual({ verdict: 'behind' });
    expect(view.check(subjectsOf(), 5)).toEqual({ verdict: 'live' });
    view.applyHead(headOf({ time: T0 + 6 }), 6, 6);
    expect(view.check(strange, 6)).toMatchObject({ reason: 'epoch_ended' });
  });

  it('of an answer that is not ours is asked about', () => {
    const view = freshView();
    expect(view.applySince({ ...sinceOf(1, []), epoch: 'epoch-02' })).toBe(false);
    expect(view.needs(1)).toEqual({ want: 'head' });
  });
});

describe('a store that was put back', () => {
  it('without a new epoch is not believed', () => {
    const view = freshView(2, []);
    view.applyHead(headOf({ seq: 1, time: T0 + 10 }), 10, 10);
    view.applyBeat(beatOf({ n: 2, time: T0 + 10, heads: headsOf(1) }), 10);
    expect(view.fresh(10)).toBe(false);
    view.applyHead(headOf({ seq: 1, time: T0 + 20 }), 20, 20);
    expect(view.fresh(20)).toBe(false);
    expect(view.rev()).toEqual(rev(2));
  });

  it('is not suspected when an event overtook the answer', () => {
    const view = freshView();
    view.applyEvent(eventOf(entryOf({ id: b64id(9) })), 12);
    view.applyHead(headOf({ seq: 0, time: T0 + 11 }), 10, 14);
    expect(view.fresh(14)).toBe(true);
  });
});

describe('what a view refuses to take', () => {
  it("is another tenant's event", () => {
    const view = freshView();
    const foreign = { subject: 'globex', data: entryOf() };
    expect(view.applyEvent(foreign, 1)).toBe(false);
    expect(view.applyEvent({ data: entryOf() }, 1)).toBe(false);
    expect(view.rev()).toEqual(rev(0));
    expect(view.check(subjectsOf(), 1)).toEqual({ verdict: 'live' });
  });

  it('is an answer whose request was sent before the last answer came', () => {
    const view = freshView();
    expect(view.applyHead(headOf({ time: T0 + 10 }), 5, 20)).toBe(true);
    expect(view.applyHead(headOf({ epoch: 'epoch-02', time: T0 + 12 }), 19, 30)).toBe(false);
    expect(view.applyHead(headOf(), 40, 39)).toBe(false);
  });

  it('is a part of a snapshot', () => {
    const view = freshView(1);
    const page = snapshotOf(3, []);
    for (const pages of [
      [],
      [{ ...page, next: 'p2' }],
      [page, page],
      [{ ...page, next: 'p2' }, snapshotOf(4, [])],
      [{ ...page, next: 'p2' }, snapshotOf(3, [], { nonce: 'other' })],
      [{ ...page, next: 'p2' }, snapshotOf(3, [], { epoch: 'epoch-02' })],
    ]) {
      expect(() => view.applySnapshot(pages)).toThrow(
        expect.objectContaining({
          code: 'SNAPSHOT_INCOMPLETE',
          message: 'these are not the pages of one snapshot',
        }),
      );
    }
    expect(() => view.applySnapshot([snapshotOf(3, [entryOf({ seq: 4 })])])).toThrow(
      expect.objectContaining({
        code: 'SNAPSHOT_INCOMPLETE',
        message: 'a page has a foreign entry',
      }),
    );
    expect(view.rev()).toEqual(rev(1));
  });

  it('is a bound that its beats cannot carry', () => {
    for (const maxStaleMs of [0, -1, 1.5, 50_001, Number.NaN]) {
      expect(() => createRevocationView({ tenant: 'acme', maxStaleMs })).toThrow(
        expect.objectContaining({
          code: 'OPTION_INVALID',
          message: 'maxStaleMs is not within 1 to 50000',
        }),
      );
    }
  });
});

describe('memory', () => {
  it('merges a snapshot into what was there and drops entries when their end has passed', () => {
    const view = freshView(1, [entryOf({ id: b64id(5), ends: 2_000 })]);
    view.applyEvent(eventOf(entryOf({ seq: 2, kind: 'key', id: 'kid-1' })), 1);
    view.applyEvent(eventOf(entryOf({ seq: 3, kind: 'user', id: 'bob', ends: 2_000 })), 1);
    view.applySnapshot([snapshotOf(4, [entryOf({ seq: 4, id: b64id(6), ends: 9_000 })])]);
    expect(view.stats().entries).toBe(4);
    const later = 1_100_000;
    view.applyHead(headOf({ seq: 4, time: T0 + later }), later, later);
    expect(view.stats().entries).toBe(2);
    const dead = subjectsOf({ jti: b64id(6), keys: [], rev: rev(4) });
    expect(view.check(dead, later)).toMatchObject({ verdict: 'revoked' });
    expect(view.check(subjectsOf({ rev: rev(4) }), later)).toMatchObject({ kind: 'key' });
  });
});

describe('an epoch that begins in the instant of a head', () => {
  // Goes red when a head that was asked for in the same instant settles what an epoch is: the view
  // would then take the epoch that has just begun for one that is over, and stay stale for good.
  it('is not taken for one that is over', () => {
    const view = createRevocationView({ tenant: 'acme' });
    view.applyHead(headOf(), 0, 0);
    view.applySnapshot([snapshotOf(0, [])]);
    const fromNext = subjectsOf({ rev: { epoch: 'epoch-02', seq: 0 } });
    view.check(fromNext, 100);
    view.applyHead(headOf({ time: 1_000_100 }), 100, 101);
    expect(view.applyHead(headOf({ epoch: 'epoch-02', time: 1_000_200 }), 200, 201)).toBe(true);
    expect(view.stats().epoch).toBe('epoch-02');
  });
});
