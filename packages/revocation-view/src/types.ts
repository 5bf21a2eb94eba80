import type {
  CloudEvent,
  HeadResponse,
  Reason,
  RevocationBeat,
  RevocationEntry,
  RevocationKind,
  SinceResponse,
  SnapshotResponse,
  TokenSubjects,
} from '@remit/contracts';

/** Options of {@link RevocationView}. */
export type RevocationViewOptions = {
  /** The one tenant whose feed this view follows. */
  tenant: string;
  /** Oldest age of the youngest beat, in ms on the feed's clock, at which the view is fresh. Default 3000. */
  maxStaleMs?: number;
  /**
   * 32 random bits. Holders choose the ids of links, so without a seed they could choose ids that
   * fall on one another in the view's table. Default 0, for tests.
   */
  hashSeed?: number;
  /**
   * Milliseconds of the wall clock. It never makes anything fresh. A machine that was suspended shows by
   * it, since a monotonic clock may stand still meanwhile: nothing is fresh until a new head came. Without
   * it a suspended machine that wakes may believe its picture for `maxStaleMs` more.
   */
  wallMs?: () => number;
};

/** What the view says about a token or chain. Everything but `live` is a refusal or a question. */
export type ViewVerdict =
  | { readonly verdict: 'live' }
  /** Not revoked, but decided before facts changed at `seq`: the PDP has to be asked for this call. */
  | { readonly verdict: 'recheck'; readonly seq: number }
  | {
      readonly verdict: 'revoked';
      readonly reason: Reason;
      readonly kind: RevocationKind;
      readonly id: string;
      readonly seq: number;
    }
  /** The view is not fresh: deny (`status_stale`). */
  | { readonly verdict: 'stale' }
  /** The token is ahead of the view: catch up as `needs` says and check again, else deny (`status_behind`). */
  | { readonly verdict: 'behind' };

/** What the view has to be given next. The caller paces its requests and retries. */
export type ViewNeed =
  | { readonly want: 'head' }
  | { readonly want: 'snapshot' }
  | { readonly want: 'since'; readonly after: number; readonly epoch: string };

/** What the view reads of the event on `remit.revocation.<tenant>`. */
export type RevocationEvent = Pick<CloudEvent<RevocationEntry>, 'subject' | 'data'>;

export type ViewStats = {
  readonly epoch: string | undefined;
  readonly applied: number | undefined;
  readonly head: number;
  readonly term: number;
  readonly entries: number;
  readonly beatsAccepted: number;
  readonly beatsRefused: number;
  readonly eventsApplied: number;
  readonly eventsRefused: number;
  readonly gaps: number;
  readonly epochsEnded: number;
  /** Milliseconds by which the feed's clock could be behind what `feedTimeMs` says, at the last tie. */
  readonly roundTripMs: number | undefined;
};

/**
 * The local picture of what is revoked in one tenant.
 *
 * All times named `…AtMs` and `nowMs` are of one monotonic clock of the caller, in ms. Every message
 * given to it must be verified already: signature, type, schema, for an answer that it is bound to
 * the request and its nonce. The view checks tenant, shard, epoch, term, number, sequence and age.
 * It does not judge a token's signature or times.
 * An `apply…` function returns whether the message was of use; `false` is not an error.
 */
export type RevocationView = {
  /**
   * Takes the committed head. Ties the feed's clock to the caller's: the answer was made between
   * `sentAtMs` and `receivedAtMs`. An answer whose request was sent before the last one was
   * received is refused, since which of the two is newer can't be told: ask one at a time.
   */
  applyHead(answer: HeadResponse, sentAtMs: number, receivedAtMs: number): boolean;
  /**
   * Merges all pages of one snapshot. Throws RevocationViewError `SNAPSHOT_INCOMPLETE` when they
   * are not all the pages of one snapshot, in order.
   */
  applySnapshot(pages: readonly SnapshotResponse[]): boolean;
  applySince(response: SinceResponse): boolean;
  /** Takes one event of the feed. One whose `subject` is another tenant's is refused. */
  applyEvent(event: RevocationEvent, receivedAtMs: number): boolean;
  applyBeat(beat: RevocationBeat, receivedAtMs: number): boolean;
  /** What to ask the revocation service for now, or null. */
  needs(nowMs: number): ViewNeed | null;
  /** Judges a token. Ask again after every `await`: a verdict is true at `nowMs` only. */
  check(subjects: TokenSubjects, nowMs: number): ViewVerdict;
  /** Whether a key of this id is revoked, as far as the view knows: what it signs is not to be believed. */
  keyRevoked(id: string): boolean;
  fresh(nowMs: number): boolean;
  /**
   * The feed's clock in epoch ms, at its latest: what `exp` and `nbf` are judged by. Undefined
   * until the first head. True within the round trip of the last head.
   */
  feedTimeMs(nowMs: number): number | undefined;
  /** The point of the log that is applied without a gap; undefined before the first snapshot. */
  rev(): { epoch: string; seq: number } | undefined;
  stats(): ViewStats;
};
