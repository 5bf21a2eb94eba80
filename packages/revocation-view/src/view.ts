import {
  BEAT_HEADS_MS,
  beatShard,
  type RevocationEntry,
  type SnapshotResponse,
  tenantId,
} from '@remit/contracts';
import { createDoubts } from './doubts.ts';
import { createEntries } from './entries.ts';
import { RevocationViewError } from './error.ts';
import { createFeedClock } from './feed-clock.ts';
import { createLogPosition } from './log-position.ts';
import type { RevocationView, RevocationViewOptions, ViewVerdict } from './types.ts';

const DEFAULT_MAX_STALE_MS = 3_000;
/** A head is asked for again after this long. */
const TIE_AGAIN_MS = 60_000;
/** And this often while the view is not fresh for a reason that only a head can remove. */
const STALE_TIE_AGAIN_MS = 1_000;
/** A beat without our head says that it hasn't moved for BEAT_HEADS_MS; the rest is margin. */
const UNLISTED_MS = BEAT_HEADS_MS - 10_000;
/** Further behind than this, a snapshot is cheaper than everything since. */
const MAX_SINCE = 10_000;
const SWEEP_EVERY_MS = 30_000;
/** The wall clock went on by so much more than the monotonic one: the machine slept, or was set. */
const SLEPT_MS = 1_000;
/** Feed times are whole milliseconds, rounded down. */
const ROUNDING_MS = 1;

const LIVE: ViewVerdict = Object.freeze({ verdict: 'live' });
const STALE: ViewVerdict = Object.freeze({ verdict: 'stale' });
const BEHIND: ViewVerdict = Object.freeze({ verdict: 'behind' });

/**
 * Creates the view of one tenant's revocations; it knows nothing and refuses everything until a
 * head, a snapshot and a beat came. See {@link RevocationView} for what it is given.
 * Throws RevocationViewError `OPTION_INVALID`, ContractError `ID_INVALID` for a tenant.
 */
export function createRevocationView(options: RevocationViewOptions): RevocationView {
  const { maxStaleMs = DEFAULT_MAX_STALE_MS, hashSeed = 0, wallMs } = options;
  if (!Number.isSafeInteger(maxStaleMs) || maxStaleMs < 1 || maxStaleMs > UNLISTED_MS) {
    throw new RevocationViewError('OPTION_INVALID', 'maxStaleMs is not within 1 to 50000', {
      maxStaleMs,
    });
  }
  const tenant = tenantId(options.tenant);
  const shard = beatShard(tenant);
  const clock = createFeedClock();
  const doubts = createDoubts();
  const entries = createEntries(tenant, hashSeed | 0);

  let epoch: string | undefined;
  let tag = '';
  let log = createLogPosition();
  let term = 0;
  let n = -1;
  /** Feed time at which `log.head()` was known to be the committed head. */
  let certifiedMs: number | undefined;
  /** Feed time of the youngest beat that certified it. */
  let beatMs: number | undefined;
  /** The store answered with a head below one that it had given before: it was put back. */
  let putBack = false;
  /** When the head was last raised; null while that call carried no time. */
  let raisedAtMs: number | null = null;
  /** A snapshot or `since` came from another epoch: only a head says which one is now. */
  let foreignAnswer = false;
  /** What lies after the applied sequence is forgotten up to here: only a snapshot leads over it. */
  let forgotten = 0;
  /** By how much the wall clock was ahead of the caller's when it was last looked at. */
  let wallAheadMs = Number.POSITIVE_INFINITY;
  let sweptMs = 0;
  let epochsEnded = 0;
  let gapsBefore = 0;
  const counts = { beatsAccepted: 0, beatsRefused: 0, eventsApplied: 0, eventsRefused: 0 };

  const startEpoch = (next: string): void => {
    if (epoch !== undefined) {
      doubts.end(epoch);
      epochsEnded++;
      gapsBefore += log.gaps();
    }
    epoch = next;
    log = createLogPosition();
    entries.endEpoch();
    term = 0;
    n = -1;
    certifiedMs = undefined;
    beatMs = undefined;
    putBack = false;
    forgotten = 0;
  };

  const advance = (change: () => void, atMs: number | null): void => {
    const before = log.head();
    change();
    if (log.head() > before) raisedAtMs = atMs;
  };

  const learn = (entry: RevocationEntry, atMs: number | null): boolean => {
    // Sequences start at 1, and the view's own head is the only thing that may say "nothing".
    if (entry.seq < 1 || !Number.isSafeInteger(entry.seq)) return false;
    entries.learn(entry);
    advance(() => log.reach(entry.seq), atMs);
    return true;
  };

  const sweep = (nowMs: number): void => {
    const feedMs = clock.atLeast(nowMs);
    if (feedMs === undefined || feedMs - sweptMs < SWEEP_EVERY_MS) return;
    sweptMs = feedMs;
    entries.sweep(Math.floor(feedMs / 1_000));
  };

  const noticeSleep = (nowMs: number): void => {
    if (wallMs === undefined) return;
    const aheadMs = wallMs() - nowMs;
    if (aheadMs - wallAheadMs > SLEPT_MS) doubts.doubt(nowMs);
    wallAheadMs = aheadMs;
  };

  const fresh = (nowMs: number): boolean => {
    noticeSleep(nowMs);
    const feedMs = clock.atMost(nowMs);
    const applied = log.applied();
    if (feedMs === undefined || applied === undefined || beatMs === undefined) return false;
    if (putBack || doubts.stands() || applied < log.head()) return false;
    return feedMs - beatMs <= maxStaleMs;
  };

  return {
    applyHead: (answer, sentAtMs, receivedAtMs) => {
      const last = clock.tied();
      if (receivedAtMs < sentAtMs || (last && sentAtMs < last.atMs)) return false;
      if (answer.epoch !== epoch) {
        // A store that went back to an epoch that had ended stays refused until it starts a new one.
        if (doubts.ended(answer.epoch)) return false;
        startEpoch(answer.epoch);
      } else {
        // Answered after we asked, so it must hold everything that we knew of when we asked.
        putBack =
          answer.seq < log.head() && (putBack || (raisedAtMs !== null && raisedAtMs <= sentAtMs));
      }
      raisedAtMs ??= receivedAtMs;
      clock.tie(answer.time, sentAtMs, receivedAtMs);
      tag = answer.tag;
      if (answer.term > term) {
        term = answer.term;
        n = -1;
      }
      advance(() => log.raise(answer.seq), receivedAtMs);
      if (answer.seq === 0 && log.head() === 0) log.cover(0);
      if (!putBack) certifiedMs = Math.max(certifiedMs ?? 0, answer.time);
      foreignAnswer = false;
      doubts.settle(sentAtMs, answer.epoch);
      sweep(receivedAtMs);
      return true;
    },

    applySnapshot: (pages) => {
      const seq = wholeSnapshot(pages);
      const first = pages[0] as SnapshotResponse;
      if (first.epoch !== epoch) {
        foreignAnswer = true;
        return false;
      }
      for (const page of pages) {
        for (const entry of page.entries) {
          if (entry.epoch !== epoch || entry.seq > seq) {
            throw new RevocationViewError('SNAPSHOT_INCOMPLETE', 'a page has a foreign entry', {
              seq: entry.seq,
            });
          }
        }
      }
      for (const page of pages) for (const entry of page.entries) entries.learn(entry);
      advance(() => log.cover(seq), null);
      return true;
    },

    applySince: (response) => {
      if (response.epoch !== epoch) {
        foreignAnswer = true;
        return false;
      }
      for (const entry of response.entries) if (entry.epoch === epoch) learn(entry, null);
      forgotten = Math.max(forgotten, response.floor ?? 0);
      advance(() => log.raise(response.head), null);
      return true;
    },

    applyEvent: ({ subject, data: entry }, receivedAtMs) => {
      const refuse = (): false => {
        counts.eventsRefused++;
        return false;
      };
      // Sequences of two tenants look alike, so another's event would close a gap here.
      if (epoch === undefined || subject !== tenant) return refuse();
      if (entry.epoch !== epoch) {
        if (!doubts.ended(entry.epoch)) doubts.doubt(receivedAtMs, entry.epoch);
        return refuse();
      }
      raisedAtMs ??= receivedAtMs;
      if (!learn(entry, receivedAtMs)) return refuse();
      counts.eventsApplied++;
      return true;
    },

    applyBeat: (beat, receivedAtMs) => {
      const refuse = (): false => {
        counts.beatsRefused++;
        return false;
      };
      // Another shard's beat never lists our head, which would read as "it hasn't moved".
      if (epoch === undefined || beat.shard !== shard) return refuse();
      if (beat.epoch !== epoch) {
        if (!doubts.ended(beat.epoch)) doubts.doubt(receivedAtMs, beat.epoch);
        return refuse();
      }
      if (beat.term < term || (beat.term === term && beat.n <= n)) return refuse();
      const feedMs = clock.atMost(receivedAtMs);
      if (feedMs === undefined || beat.time > feedMs + ROUNDING_MS) {
        // Its time can't have come yet: the feed's clock or ours was moved. Age means nothing now.
        doubts.doubt(receivedAtMs);
        return refuse();
      }
      raisedAtMs ??= receivedAtMs;
      term = beat.term;
      n = beat.n;
      sweep(receivedAtMs);
      if (Object.hasOwn(beat.heads, tag)) {
        advance(() => log.raise(beat.heads[tag] as number), receivedAtMs);
      } else if (certifiedMs === undefined || beat.time - certifiedMs > UNLISTED_MS) {
        doubts.doubt(receivedAtMs);
        return refuse();
      }
      certifiedMs = Math.max(certifiedMs ?? 0, beat.time);
      beatMs = Math.max(beatMs ?? 0, beat.time);
      counts.beatsAccepted++;
      return true;
    },

    needs: (nowMs) => {
      const tied = clock.tied();
      if (epoch === undefined || tied === undefined) return { want: 'head' };
      if (foreignAnswer || doubts.stands() || doubts.asks()) return { want: 'head' };
      const applied = log.applied();
      const since = applied !== undefined && applied >= forgotten;
      if (!since || log.head() - applied > MAX_SINCE) return { want: 'snapshot' };
      if (log.head() > applied) return { want: 'since', after: applied, epoch };
      const again = fresh(nowMs) ? TIE_AGAIN_MS : STALE_TIE_AGAIN_MS;
      return nowMs - tied.atMs >= again ? { want: 'head' } : null;
    },

    check: (subjects, nowMs) => {
      const hit = entries.single(subjects);
      if (hit) return { verdict: 'revoked', ...hit };
      if (epoch === undefined) return STALE;
      if (subjects.rev.epoch !== epoch) {
        if (doubts.ended(subjects.rev.epoch)) {
          return {
            verdict: 'revoked',
            reason: 'epoch_ended',
            kind: 'tenant',
            id: tenant,
            seq: log.head(),
          };
        }
        doubts.question(nowMs, subjects.rev.epoch);
        return fresh(nowMs) ? BEHIND : STALE;
      }
      const wide = entries.wide(subjects);
      if (wide) return { verdict: 'revoked', ...wide };
      if (!fresh(nowMs)) return STALE;
      // What a token says about the log is no news of the log: whoever has a key writes any `rev`.
      if (subjects.rev.seq > (log.applied() as number)) {
        doubts.question(nowMs);
        return BEHIND;
      }
      const recheck = entries.recheckSeq();
      return subjects.rev.seq < recheck ? { verdict: 'recheck', seq: recheck } : LIVE;
    },

    keyRevoked: (id) => entries.key(id),
    fresh,
    feedTimeMs: (nowMs) => clock.atMost(nowMs),
    rev: () => {
      const applied = log.applied();
      return epoch === undefined || applied === undefined ? undefined : { epoch, seq: applied };
    },
    stats: () => ({
      epoch,
      applied: log.applied(),
      head: log.head(),
      term,
      entries: entries.size(),
      ...counts,
      gaps: gapsBefore + log.gaps(),
      epochsEnded,
      roundTripMs: clock.tied()?.roundTripMs,
    }),
  };
}

/** The sequence that the pages reach together, once they are shown to be one whole snapshot. */
function wholeSnapshot(pages: readonly SnapshotResponse[]): number {
  const [first] = pages;
  const whole =
    first !== undefined &&
    pages.every(
      (page, at) =>
        page.epoch === first.epoch &&
        page.seq === first.seq &&
        page.nonce === first.nonce &&
        (page.next === undefined) === (at === pages.length - 1),
    );
  if (!whole) {
    throw new RevocationViewError('SNAPSHOT_INCOMPLETE', 'these are not the pages of one snapshot');
  }
  return first.seq;
}
