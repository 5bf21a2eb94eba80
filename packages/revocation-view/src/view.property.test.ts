import type { RevocationKind, TokenSubjects } from '@remit/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { b64id, createStore, EPOCH, eventOf, naivelyRevoked, TENANT } from './view.testing.ts';
import { createRevocationView } from './view.ts';

// Shown to go red: take away from applyBeat the check of the shard or of the 50 s without our head,
// from fresh() the age or the comparison with the head, from applyHead the refusal of overlapping
// answers, from the clock's tie the time of sending, or let a later entry lower a sequence. Terms,
// numbers, times in the future and ended epochs have tests of their own in view.test.ts.

const MAX_STALE_MS = 3_000;
const names: Record<RevocationKind, string[]> = {
  token: [b64id(1), b64id(2), b64id(3)],
  link: [b64id(2), b64id(4)],
  task: [`task_${b64id(9)}`, 'task_odd'],
  agent: ['agent-1', 'agent-2'],
  user: ['alice', 'bob'],
  client: ['agent-1', 'agent-2'],
  tenant: [TENANT],
  key: ['kid-1', 'kid-2'],
};
const target = fc
  .constantFrom(...(Object.keys(names) as RevocationKind[]))
  .chain((kind) => fc.record({ kind: fc.constant(kind), id: fc.constantFrom(...names[kind]) }));

const token = (epochs: string[], maxSeq: number): fc.Arbitrary<TokenSubjects> =>
  fc.record({
    jti: fc.constantFrom(b64id(1), b64id(5)),
    lineage: fc.subarray([b64id(2), b64id(3), b64id(4)], { minLength: 0 }),
    rev: fc.record({ epoch: fc.constantFrom(...epochs), seq: fc.nat(maxSeq) }),
    task: fc.constantFrom(...names.task, `task_${b64id(8)}`),
    actors: fc.subarray(['agent-1', 'agent-2', 'agent-3'], { minLength: 1 }),
    user: fc.constantFrom('alice', 'bob', 'carol'),
    client: fc.constantFrom('agent-1', 'agent-3'),
    keys: fc.subarray(['kid-1', 'kid-2', 'kid-3']),
  });

const wait = fc.oneof(
  { weight: 10, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 3, arbitrary: fc.integer({ min: 300, max: 5_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(45_000, 55_000, 65_000, 1_300_000) },
);
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('revoke' as const), target }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('recheck' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('epoch' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('term' as const) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('beat' as const) }) },
  { weight: 14, arbitrary: fc.record({ do: fc.constant('good' as const) }) },
  // Any message ever sent, in any order, any number of times, or never.
  { weight: 25, arbitrary: fc.record({ do: fc.constant('deliver' as const), pick: fc.nat(7) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('replay' as const), pick: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('head' as const) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('need' as const) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('answer' as const), pick: fc.nat(3) }) },
);
const story = fc.array(fc.record({ wait, action }), {
  minLength: 20,
  maxLength: 120,
});

type Action = { do: string; target?: { kind: RevocationKind; id: string }; pick?: number };
type Step = { wait: number; action: Action };

function run(
  steps: readonly Step[],
  tokens: readonly TokenSubjects[],
  clockLeadMs: number,
): { freshSeen: number } {
  let trueMs = 1_700_000_000_000;
  const startMs = trueMs;
  const mono = () => (trueMs - startMs) * (clockLeadMs % 2 === 0 ? 1 : 1.0002) + 77;
  const feed = () => trueMs + clockLeadMs;
  const store = createStore();
  const view = createRevocationView({ tenant: TENANT, maxStaleMs: MAX_STALE_MS, hashSeed: 7 });
  const sent: (() => void)[] = [];
  const answers: (() => void)[] = [];
  const refusedUntil = new Map<TokenSubjects, number>();
  let freshSeen = 0;

  /** When the last token that a revocation can hit is dead: never, for keys and ended epochs. */
  const endOf = (found: { reason: string; kind: string; id: string; seq: number }): number => {
    if (found.reason === 'epoch_ended') return Infinity;
    const ends = store.epochs
      .flatMap(({ log }) => log)
      .filter(({ kind, id, seq }) => kind === found.kind && id === found.id && seq === found.seq)
      .map((entry) => (entry.ends ?? Infinity) * 1_000);
    return Math.min(...ends);
  };
  const post = (message: () => void) => sent.push(message);
  const ask = () => {
    const need = view.needs(mono());
    const sentAt = mono();
    if (need?.want === 'head') {
      const answer = store.head(feed());
      answers.push(() => view.applyHead(answer, sentAt, mono()));
    } else if (need?.want === 'since') {
      const answer = store.since(need.after);
      answers.push(() => view.applySince(answer));
    } else if (need?.want === 'snapshot') {
      const pages = store.snapshot(feed());
      answers.push(() => view.applySnapshot(pages));
    }
  };
  const act: Record<string, (step: Action) => void> = {
    revoke: (step) => {
      const { kind, id } = step.target as { kind: RevocationKind; id: string };
      const entry = store.append('revoke', kind, id, feed());
      post(() => view.applyEvent(eventOf(entry), mono()));
    },
    recheck: () => {
      const entry = store.append('recheck', 'tenant', TENANT, feed());
      post(() => view.applyEvent(eventOf(entry), mono()));
    },
    epoch: () => store.newEpoch(feed()),
    term: () => store.newTerm(),
    beat: () => {
      const beat = store.beat(feed());
      post(() => view.applyBeat(beat, mono()));
      // A neighbour's beat lists nothing of ours and must certify nothing.
      post(() => view.applyBeat({ ...beat, shard: (beat.shard + 1) % 64, heads: {} }, mono()));
    },
    deliver: (step) => sent.at(-1 - (step.pick ?? 0))?.(),
    replay: (step) => sent[(step.pick ?? 0) % Math.max(1, sent.length)]?.(),
    head: () => {
      const sentAt = mono();
      const answer = store.head(feed());
      answers.push(() => view.applyHead(answer, sentAt, mono()));
    },
    need: ask,
    // A stretch of good network: without these no view gets far enough to be wrong.
    good: () => {
      for (let round = 0; round < 3; round++) {
        const asked = answers.length;
        ask();
        if (answers.length > asked) answers.at(-1)?.();
      }
      const beat = store.beat(feed());
      post(() => view.applyBeat(beat, mono()));
      view.applyBeat(beat, mono());
    },
    answer: (step) => answers.at(-1 - (step.pick ?? 0))?.(),
  };

  const judge = () => {
    const rev = view.rev();
    const fresh = view.fresh(mono());
    if (fresh) {
      freshSeen++;
      // Never fresh on old news: what was committed a bound ago is applied, in the epoch of then.
      const horizon = feed() - MAX_STALE_MS;
      const then = store.epochs.filter(({ sinceMs }) => sinceMs <= horizon).at(-1);
      const of = store.epochs.findIndex(({ name }) => name === rev?.epoch);
      expect(of).toBeGreaterThanOrEqual(store.epochs.indexOf(then as (typeof store.epochs)[0]));
      const due = (store.epochs[of]?.log ?? []).filter(({ atMs }) => atMs <= horizon);
      expect(rev?.seq).toBeGreaterThanOrEqual(due.length);
    }
    for (const subjects of tokens) {
      // Names of epochs are random: nobody holds a token of one that is yet to come.
      if (subjects.rev.epoch === 'epoch-2' && store.epochs.length === 1) continue;
      const found = view.check(subjects, mono());
      const { verdict } = found;
      const allowed = verdict === 'live' || verdict === 'recheck';
      if (allowed) {
        expect(fresh).toBe(true);
        const log = store.epochs.find(({ name }) => name === rev?.epoch)?.log ?? [];
        const live = log.filter(({ ends }) => (ends ?? Infinity) * 1_000 >= feed());
        expect(naivelyRevoked(live, rev?.epoch ?? '', rev?.seq ?? 0, subjects)).toBe(false);
        // Once revoked, always refused, for as long as any token that the entry hits can live.
        expect(feed()).toBeGreaterThanOrEqual(refusedUntil.get(subjects) ?? 0);
      }
      if (found.verdict === 'revoked') refusedUntil.set(subjects, endOf(found));
    }
  };

  for (const step of steps) {
    trueMs += step.wait;
    act[step.action.do]?.(step.action);
    judge();
  }

  // Quiet at last: whoever does what the view asks for gets a fresh view that refuses no more than
  // the log does.
  for (let round = 0; round < 8; round++) {
    trueMs += 1_001;
    const asked = answers.length;
    ask();
    if (answers.length > asked) answers.at(-1)?.();
    view.applyBeat(store.beat(feed()), mono());
  }
  judge();
  expect(view.fresh(mono())).toBe(true);
  for (const subjects of tokens) {
    const { name, log } = store.current();
    const verdict = view.check(subjects, mono()).verdict;
    if (subjects.rev.epoch !== name || subjects.rev.seq > log.length) {
      expect(['revoked', 'behind']).toContain(verdict);
    } else if (
      !naivelyRevoked(
        store.epochs.flatMap((e) => e.log),
        name,
        Infinity,
        subjects,
      )
    ) {
      expect(['live', 'recheck']).toContain(verdict);
    }
  }
  return { freshSeen };
}

describe('a view under loss, duplication, reorder, replay, delay and gaps', () => {
  it('never allows what its log revokes, is never fresh on old news, and never un-revokes', () => {
    let fresh = 0;
    fc.assert(
      fc.property(
        story,
        fc.array(token([EPOCH, 'epoch-2', 'epoch-9'], 12), { minLength: 6, maxLength: 12 }),
        fc.integer({ min: -100_000, max: 100_000 }),
        (steps, tokens, lead) => {
          fresh += run(steps, tokens, lead).freshSeen;
        },
      ),
      { numRuns: 2_000 },
    );
    // The stories are worth something only if views get fresh in them.
    expect(fresh).toBeGreaterThan(10_000);
  }, 60_000);
});
