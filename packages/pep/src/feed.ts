import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { type Bus, BusError, type Verifier } from '@remit/bus';
import {
  beatShard,
  conform,
  feedKey,
  parseJsonStrict,
  type RevocationEntry,
  revocationBeat,
  revocationEvent,
  SIGNED,
  type SnapshotResponse,
  subjects,
} from '@remit/contracts';
import type { RevocationView } from '@remit/revocation-view';

/** Follows the revocation feed of one tenant into a view, until stopped. */
export type Feed = {
  /** Resolves when the view is fresh for the first time, or rejects after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void>;
  /** Asks for what is missing now, at most `timeoutMs` long. Resolves whether or not it helped. */
  catchUp(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
  /** Signed messages that were refused: unsigned, mis-signed, of another type or shape. */
  refused(): number;
};

/** Before a question that failed is asked again: twice as long each time, half of it by chance. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 1_000;
/**
 * What a head is ahead by is most often on its way: only after this long is it asked for, unless a call
 * waits for it. All PEPs see a head at the same moment.
 */
const GAP_MS = 20;
/** Keys of the feed that are believed at once; the trust file has at most as many. */
const MAX_KEYS = 8;
const MAX_UNBELIEVED = 64;
const TICK_MS = 50;

/**
 * Subscribes to a tenant's events and its shard's beats, and asks the revocation service for
 * whatever the view says it needs: a snapshot at start, what lies in a gap, the head with a nonce.
 * Believes a message only after its signature, its type and its shape. A failed question is asked
 * again; meanwhile the view grows stale by itself, so nothing here ever decides to allow.
 * A next key of the feed is believed when a key that is believed announces it, until it is revoked.
 */
export function followFeed(options: {
  bus: Bus;
  verifier: Verifier;
  tenant: string;
  view: RevocationView;
  monotonicMs: () => number;
  onRefused?: (cause: unknown) => void;
  /** An event that came over the feed and was taken in. What came otherwise is in the view alone. */
  onEvent?: (entry: RevocationEntry) => void;
}): Feed {
  const { bus, verifier, tenant, view, monotonicMs } = options;
  const waiting = new Set<() => void>();
  let stopped = false;
  let refused = 0;
  let asking: Promise<void> | undefined;
  let retryAt = 0;
  let failures = 0;
  let gapAt: number | undefined;
  /** Callers that wait for what is missing. */
  let hurried = 0;
  /** Announcements come again and again: those that were believed, and the first few that weren't. */
  const heard = new Set<string>();
  const unbelieved = new Set<string>();

  const guarded = (take: (data: Uint8Array) => void) => (_subject: string, data: Uint8Array) => {
    try {
      take(data);
    } catch (cause) {
      refused += 1;
      options.onRefused?.(cause);
    }
    pump();
  };
  const events = bus.subscribe(
    subjects.revocation(tenant),
    guarded((data) => {
      const receivedAt = monotonicMs();
      const event = conform(revocationEvent, payload(verifier, SIGNED.revocation, data));
      if (view.applyEvent(event, receivedAt)) options.onEvent?.(event.data);
    }),
  );
  const beats = bus.subscribe(
    subjects.revocationBeat(beatShard(tenant)),
    guarded((data) => {
      const receivedAt = monotonicMs();
      let beat: unknown;
      try {
        beat = payload(verifier, SIGNED.beat, data);
      } catch (cause) {
        if (!isOfType(cause, SIGNED.feedKey)) throw cause;
        return announced(data);
      }
      view.applyBeat(conform(revocationBeat, beat), receivedAt);
    }),
  );
  const ticking = setInterval(pump, TICK_MS);
  ticking.unref();
  const line = bus.onStatus((status) => {
    if (status !== 'connected') return;
    failures = 0;
    retryAt = 0;
    pump();
  });
  pump();

  /** Believes the key that a believed one announces. Repeated ones change nothing. */
  function announced(data: Uint8Array): void {
    const jws = Buffer.from(data).toString('latin1');
    // Also when its signer's key was revoked since: that is no news, and no attack.
    if (heard.has(jws)) return;
    const announcement = readAnnouncement(jws, data);
    if (announcement === undefined) return;
    const { jwk } = conform(feedKey, announcement);
    const known = verifier.kids();
    const kid = verifier.trust(jwk);
    const isNew = !known.includes(kid);
    const full = isNew && known.length >= MAX_KEYS;
    if (full || view.keyRevoked(kid)) verifier.distrust(kid);
    if (!full) heard.add(jws);
  }

  /** One whose signer isn't believed may be so later, and is refused once. */
  function readAnnouncement(jws: string, data: Uint8Array): unknown {
    try {
      return payload(verifier, SIGNED.feedKey, data);
    } catch (cause) {
      if (unbelieved.has(jws)) return undefined;
      if (unbelieved.size < MAX_UNBELIEVED) unbelieved.add(jws);
      throw cause;
    }
  }

  /** What a revoked key signs from now on is noise, whoever has it. */
  function dropRevoked(): void {
    for (const kid of verifier.kids()) if (view.keyRevoked(kid)) verifier.distrust(kid);
  }

  function pump(): void {
    dropRevoked();
    if (view.fresh(monotonicMs())) {
      for (const resolve of waiting) resolve();
      waiting.clear();
    }
    if (stopped || asking || monotonicMs() < retryAt) return;
    const need = view.needs(monotonicMs());
    if (!need) gapAt = undefined;
    if (!need || isOnItsWay(need.want)) return;
    asking = satisfy(need)
      // An answer that leaves the same need, from a store that was put back say, is no reason to hurry.
      .then(() => isDeepStrictEqual(view.needs(monotonicMs()), need))
      .catch(() => true)
      .then(askedOnce);
  }

  function askedOnce(pause: boolean): void {
    failures = pause ? failures + 1 : 0;
    if (pause) {
      const longestMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (failures - 1));
      retryAt = monotonicMs() + longestMs * (0.5 + Math.random() / 2);
    }
    asking = undefined;
    pump();
  }

  function isOnItsWay(want: 'head' | 'since' | 'snapshot'): boolean {
    if (want !== 'since' || hurried > 0) return false;
    gapAt ??= monotonicMs();
    return monotonicMs() - gapAt < GAP_MS;
  }

  async function satisfy(need: NonNullable<ReturnType<RevocationView['needs']>>): Promise<void> {
    switch (need.want) {
      case 'snapshot':
        view.applySnapshot(await snapshot());
        return;
      case 'since': {
        const { epoch, after } = need;
        view.applySince(await bus.call('revocation.since', tenant, { epoch, after }, { verifier }));
        return;
      }
      case 'head': {
        const sentAt = monotonicMs();
        const nonce = randomBytes(16).toString('base64url');
        const answer = await bus.call('revocation.head', tenant, { nonce }, { verifier });
        if (answer.nonce !== nonce) throw new Error('the head answers another question');
        view.applyHead(answer, sentAt, monotonicMs());
        return;
      }
    }
  }

  async function snapshot(): Promise<SnapshotResponse[]> {
    const nonce = randomBytes(16).toString('base64url');
    const pages: SnapshotResponse[] = [];
    let cursor: string | undefined;
    do {
      const page: SnapshotResponse = await bus.call(
        'revocation.snapshot',
        tenant,
        { nonce, ...(cursor ? { cursor } : {}) },
        { verifier },
      );
      if (page.nonce !== nonce) throw new Error('the snapshot answers another question');
      pages.push(page);
      cursor = page.next;
    } while (cursor);
    return pages;
  }

  return {
    ready: (timeoutMs) =>
      new Promise((resolve, reject) => {
        const timeout = setTimeout(() => {
          waiting.delete(done);
          reject(new Error(`the revocation feed was not fresh within ${timeoutMs} ms`));
        }, timeoutMs);
        const done = () => {
          clearTimeout(timeout);
          resolve();
        };
        waiting.add(done);
        pump();
      }),
    async catchUp(timeoutMs) {
      retryAt = 0;
      hurried += 1;
      pump();
      const late = Promise.withResolvers<'late'>();
      const timer = setTimeout(() => late.resolve('late'), timeoutMs);
      // One answer may raise the next question: a head that is ahead asks for what lies between.
      for (let next = asking; next; next = asking) {
        if ((await Promise.race([next, late.promise])) === 'late') break;
      }
      clearTimeout(timer);
      hurried -= 1;
    },
    async stop() {
      stopped = true;
      line();
      clearInterval(ticking);
      events.stop();
      beats.stop();
      await asking;
    },
    refused: () => refused,
  };
}

function isOfType(cause: unknown, type: string): boolean {
  return (
    cause instanceof BusError &&
    cause.code === 'EVENT_TYPE_MISMATCH' &&
    cause.details?.['actual'] === type
  );
}

function payload(
  verifier: Verifier,
  type: (typeof SIGNED)[keyof typeof SIGNED],
  data: Uint8Array,
): unknown {
  const bytes = verifier.verify(type, Buffer.from(data).toString('latin1'));
  return parseJsonStrict(Buffer.from(bytes).toString('utf8'));
}
