import {
  BEAT_HEADS_MS,
  beatShard,
  type HeadResponse,
  type RevocationBeat,
  type RevocationEntry,
  type RevocationKind,
  type SinceResponse,
  type SnapshotResponse,
  type TokenSubjects,
} from '@remit/contracts';
import type { RevocationEvent } from './types.ts';

export const TENANT = 'acme';
export const EPOCH = 'epoch-01';
const TAG = 'tag-of-acme';

export const b64id = (n: number): string =>
  Buffer.from(Array.from({ length: 16 }, (_, i) => (n >> ((i % 4) * 8)) & 255)).toString(
    'base64url',
  );

export function subjectsOf(over: Partial<TokenSubjects> = {}): TokenSubjects {
  return {
    jti: b64id(1),
    lineage: [],
    rev: { epoch: EPOCH, seq: 0 },
    task: `task_${b64id(2)}`,
    actors: ['agent-1'],
    user: 'alice',
    client: 'agent-1',
    keys: ['kid-1'],
    ...over,
  };
}

export function entryOf(over: Partial<RevocationEntry> = {}): RevocationEntry {
  return {
    epoch: EPOCH,
    seq: 1,
    verb: 'revoke',
    kind: 'token',
    id: b64id(1),
    at: 1_000,
    ends: 2_200,
    ...over,
  };
}

export const eventOf = (entry: RevocationEntry): RevocationEvent => ({
  subject: TENANT,
  data: entry,
});

export function headOf(over: Partial<HeadResponse> = {}): HeadResponse {
  return { nonce: 'n', epoch: EPOCH, seq: 0, term: 1, time: 1_000_000, tag: TAG, ...over };
}

export function beatOf(over: Partial<RevocationBeat> = {}): RevocationBeat {
  return {
    shard: beatShard(TENANT),
    epoch: EPOCH,
    term: 1,
    n: 1,
    time: 1_000_000,
    heads: {},
    ...over,
  };
}

export const headsOf = (seq: number): Record<string, number> => ({ [TAG]: seq });

export function snapshotOf(
  seq: number,
  entries: RevocationEntry[],
  over: Partial<SnapshotResponse> = {},
): SnapshotResponse {
  return { nonce: 'n', epoch: EPOCH, seq, tag: TAG, entries, ...over };
}

export function sinceOf(head: number, entries: RevocationEntry[]): SinceResponse {
  return { epoch: EPOCH, head, entries, more: false };
}

/** The store and its leader, as simple as can be: what they would answer at this moment. */
export function createStore() {
  const epochs: { name: string; sinceMs: number; log: (RevocationEntry & { atMs: number })[] }[] = [
    { name: EPOCH, sinceMs: 0, log: [] },
  ];
  let term = 1;
  let n = 0;
  const now = () => epochs.at(-1) as (typeof epochs)[number];
  return {
    epochs,
    current: now,
    append(verb: 'revoke' | 'recheck', kind: RevocationKind, id: string, feedMs: number) {
      const { name, log } = now();
      const entry = entryOf({
        epoch: name,
        seq: log.length + 1,
        verb,
        kind,
        id,
        at: Math.floor(feedMs / 1_000),
      });
      if (kind === 'key') delete entry.ends;
      else entry.ends = entry.at + 1_200;
      log.push({ ...entry, atMs: feedMs });
      return entry;
    },
    newEpoch(feedMs: number) {
      epochs.push({ name: `epoch-${epochs.length + 1}`, sinceMs: feedMs, log: [] });
    },
    newTerm() {
      term++;
      n = 0;
    },
    beat(feedMs: number): RevocationBeat {
      const { name, log } = now();
      const last = log.at(-1);
      const listed = last !== undefined && last.atMs > feedMs - BEAT_HEADS_MS;
      return beatOf({
        epoch: name,
        term,
        n: ++n,
        time: Math.floor(feedMs),
        heads: listed ? headsOf(log.length) : {},
      });
    },
    head(feedMs: number): HeadResponse {
      const { name, log } = now();
      return headOf({ epoch: name, seq: log.length, term, time: Math.floor(feedMs) });
    },
    since(after: number): SinceResponse {
      const { name, log } = now();
      const entries = log.slice(after).map(strip);
      return { epoch: name, head: log.length, entries, more: false };
    },
    snapshot(feedMs: number): SnapshotResponse[] {
      const { name, log } = now();
      const alive = log.filter(({ ends }) => (ends ?? Infinity) >= feedMs / 1_000).map(strip);
      const half = Math.ceil(alive.length / 2);
      const page = { nonce: 'n', epoch: name, seq: log.length, tag: TAG };
      return [
        { ...page, entries: alive.slice(0, half), next: 'p2' },
        { ...page, entries: alive.slice(half) },
      ];
    },
  };
}

function strip(logged: RevocationEntry & { atMs: number }): RevocationEntry {
  const entry: RevocationEntry & { atMs?: number } = { ...logged };
  delete entry.atMs;
  return entry;
}

/** The rules of revocation read off a log, without a thought for speed. Shares no code with the view. */
export function naivelyRevoked(
  log: readonly RevocationEntry[],
  epoch: string,
  upTo: number,
  token: TokenSubjects,
): boolean {
  if (token.rev.epoch !== epoch) return true;
  return log.some((entry) => {
    if (entry.seq > upTo || entry.verb !== 'revoke') return false;
    const decidedBefore = token.rev.seq < entry.seq;
    switch (entry.kind) {
      case 'token':
      case 'link':
        return [token.jti, ...token.lineage].includes(entry.id);
      case 'task':
        return token.task === entry.id;
      case 'key':
        return token.keys.includes(entry.id);
      case 'agent':
        return decidedBefore && token.actors.includes(entry.id);
      case 'user':
        return decidedBefore && token.user === entry.id;
      case 'client':
        return decidedBefore && token.client === entry.id;
      case 'tenant':
        return decidedBefore && entry.id === TENANT;
    }
  });
}
