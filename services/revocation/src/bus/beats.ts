import type { Bus, Signer } from '@remit/bus';
import { BEAT_SHARDS, beatShard, type RevocationBeat, SIGNED, subjects } from '@remit/contracts';
import type { Database, Logger } from '@remit/service-kit';
import type { StoreGuard } from '../domain/store-guard.ts';
import { allTenants, readHeads, releaseLease, renewLease } from '../store/lease.ts';
import type { Tables } from '../store/tables.ts';

export type Beats = {
  start(): void;
  stop(): Promise<void>;
  /** Whether this replica sent the newest beats. */
  leading(): boolean;
  term(): number;
  stats(): { sent: number; turns: number; failed: number; dropped: number };
  /** One turn, as the timer makes it: renew, read heads, send. Resolves when it is over. */
  turn(): Promise<void>;
};

/** Tenants change seldom; a new one's shard beats this much later, at most. */
const TENANTS_EVERY_MS = 1_000;

/**
 * Sends the beats of every shard that has tenants, each `intervalMs` (default 250), while this
 * replica holds the database's lease of `leaseMs` (default 800), `late` names no reason and the store
 * is the one that was seen before. A replica that doesn't lead looks every `standbyMs` (default 100),
 * so that a killed leader is followed within 0.9 s. A beat's time is the feed's clock before its heads
 * were read, so a late beat is an old one wherever it arrives. A turn that outlasts the lease sends
 * nothing. `announce` sends what else goes to the shards.
 */
export function createBeats(options: {
  database: Database<Tables>;
  bus: Pick<Bus, 'publish' | 'status'>;
  signer: Signer;
  log: Logger;
  holder: string;
  monotonicMs: () => number;
  late: () => string | null;
  guard: Pick<StoreGuard, 'verify' | 'saw'>;
  announce?: (shards: ReadonlySet<number>) => Promise<void>;
  intervalMs?: number;
  leaseMs?: number;
  standbyMs?: number;
}): Beats {
  const { database, bus, signer, log, holder, monotonicMs, late, guard, announce } = options;
  const { intervalMs = 250, leaseMs = 800, standbyMs = 100 } = options;
  const stats = { sent: 0, turns: 0, failed: 0, dropped: 0 };
  let shards: ReadonlySet<number> = new Set();
  let shardsAtMs: number | null = null;
  let term = 0;
  let n = 0;
  let ledAtMs: number | null = null;
  let running = false;
  let timer: NodeJS.Timeout | undefined;
  let current: Promise<void> = Promise.resolve();

  async function readShards(): Promise<void> {
    if (shardsAtMs !== null && monotonicMs() - shardsAtMs < TENANTS_EVERY_MS) return;
    shards = new Set((await allTenants(database)).map(beatShard));
    shardsAtMs = monotonicMs();
  }

  async function lead(): Promise<void> {
    const startedMs = monotonicMs();
    // The second look is at the epoch that the first one began.
    if (!(await guard.verify()) && !(await guard.verify())) return;
    // Not renewed, the lease goes to a replica that hears its sources; if none does, no beats.
    if (late() !== null || bus.status() !== 'connected') return;
    const held = await renewLease(database, holder, leaseMs);
    if (held === undefined) return;
    guard.saw(held.renewals, held.feedMs);
    if (held.term !== term) {
      log.info({ term: held.term }, 'this replica leads the feed');
      term = held.term;
      n = 0;
    }
    await readShards();
    const { epoch, moved } = await readHeads(database);
    if (monotonicMs() - startedMs > leaseMs) {
      stats.dropped++;
      return;
    }
    const heads = new Map<number, Record<string, number>>();
    for (const { tenant, tag, seq } of moved) {
      const shard = beatShard(tenant);
      heads.set(shard, { ...heads.get(shard), [tag]: seq });
    }
    n++;
    for (let shard = 0; shard < BEAT_SHARDS; shard++) {
      if (!shards.has(shard) && !heads.has(shard)) continue;
      const beat: RevocationBeat = {
        shard,
        epoch,
        term,
        n,
        time: held.feedMs,
        heads: heads.get(shard) ?? {},
      };
      bus.publish(subjects.revocationBeat(shard), signer.sign(SIGNED.beat, JSON.stringify(beat)));
      stats.sent++;
    }
    ledAtMs = monotonicMs();
    await announce?.(shards);
  }

  const leading = (): boolean => ledAtMs !== null && monotonicMs() - ledAtMs <= leaseMs;

  async function turn(): Promise<void> {
    stats.turns++;
    try {
      await lead();
    } catch (error) {
      stats.failed++;
      log.warn({ err: error }, 'no beat: the database does not answer');
    }
  }

  async function turnAgain(): Promise<void> {
    const startedMs = monotonicMs();
    await turn();
    if (running) schedule(startedMs + (leading() ? intervalMs : standbyMs));
  }

  function schedule(dueMs: number): void {
    timer = setTimeout(
      () => {
        current = turnAgain();
      },
      Math.max(0, dueMs - monotonicMs()),
    );
  }

  return {
    start: () => {
      if (running) return;
      running = true;
      schedule(monotonicMs());
    },
    stop: async () => {
      running = false;
      clearTimeout(timer);
      await current;
      if (ledAtMs === null) return;
      ledAtMs = null;
      await releaseLease(database, holder).catch((error: unknown) => {
        log.warn({ err: error }, 'the lease was left to end by itself');
      });
    },
    leading,
    term: () => term,
    stats: () => ({ ...stats }),
    turn,
  };
}
