import { randomUUIDv7 } from 'node:crypto';
import { sql, type Transaction } from 'kysely';
import type { Logger } from '../process/log.ts';
import type { Database } from './database.ts';
import type { MigrationContext } from './migrations.ts';

/** The outbox's tables; a service's database type extends it. */
export type OutboxTables = {
  outbox: {
    seq: number;
    tenant: string;
    subject: string;
    message_id: string;
    payload: Buffer;
    created_at: Date;
    sent_at: Date | null;
  };
  outbox_head: { tenant: string; seq: number };
};

export type OutboxEntry = {
  seq: number;
  tenant: string;
  subject: string;
  /** The same at every attempt; the bus's de-duplication and the receivers' use it. */
  messageId: string;
  payload: Uint8Array;
};

/** Makes a message's bytes from its sequence and its id (a UUIDv7). */
export type OutboxPayload = (seq: number, messageId: string) => Uint8Array | string;

export type Outbox<DB> = {
  /**
   * Writes a message in the caller's transaction and returns its sequence. `payload` is called with
   * it, so that it can be signed inside. Writers of one service queue on one head row until commit,
   * which makes sequences gap-free and in commit order.
   */
  enqueue: (
    trx: Transaction<DB>,
    message: { tenant: string; subject: string; payload: OutboxPayload },
  ) => Promise<number>;
  /** Sequence of the newest committed entry. Throws when the database does not answer. */
  head: () => Promise<number>;
  /** Starts the sender; one of all replicas sends at a time. */
  start: () => void;
  stop: () => Promise<void>;
  /** What waits to be sent, as last seen: number and age of the oldest, seconds. */
  lag: () => { unsent: number; oldestSeconds: number };
};

export type OutboxOptions<DB> = {
  database: Database<DB>;
  log: Logger;
  /**
   * Must resolve only when the message is safe with the bus. `handedOver`: `sendAtOnce` took it, so
   * it is only waited for.
   */
  send: (entry: OutboxEntry, handedOver: boolean) => Promise<void>;
  /**
   * Called with a message as soon as its transaction is committed, before whoever wrote it goes on,
   * in the order of commits of this process. For what bears to come twice and, between two processes,
   * out of order. Gives whether it took the message; what it didn't take is sent as if it weren't here.
   */
  sendAtOnce?: (entry: OutboxEntry) => boolean;
  /** Milliseconds between looks when nobody wakes it; 500 by default. */
  pollMs?: number;
  /** Days for which sent entries stay readable; 7 by default. */
  keepSentDays?: number;
};

const BATCH = 50;
const MAX_BACKOFF_MS = 2_000;
/** Of these, another process may have marked some as sent; the oldest are forgotten. */
const MAX_HANDED_OVER = 1_000;

/** Creates the outbox's tables; part of a service's first migration. */
export async function createOutboxTables({ db, tenantTable, serviceTable }: MigrationContext) {
  await sql`create table outbox (
    seq bigint primary key,
    tenant text not null,
    subject text not null,
    message_id text not null unique,
    payload bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz)`.execute(db);
  await sql`create index outbox_unsent on outbox (seq) where sent_at is null`.execute(db);
  await sql`create table outbox_head (tenant text primary key, seq bigint not null)`.execute(db);
  await sql`insert into outbox_head (tenant, seq) values ('*', 0)`.execute(db);
  await tenantTable('outbox', {
    privileges: ['select', 'insert', 'update', 'delete'],
    system: ['select', 'update', 'delete'],
  });
  await serviceTable('outbox_head', { privileges: ['select', 'update'] });
}

/**
 * What must be published after a commit: written in the same transaction, sent in sequence order by
 * one sender, at least once. Receivers de-duplicate by sequence. With `sendAtOnce` the writer sends it
 * first, and the sender makes sure.
 */
export function createOutbox<DB extends OutboxTables>(options: OutboxOptions<DB>): Outbox<DB> {
  const { log, send, sendAtOnce, pollMs = 500, keepSentDays = 7 } = options;
  // The generic database's own tables are not known here; these two are.
  const database = options.database as unknown as Database<OutboxTables>;
  const state = { running: false };
  let loop: Promise<void> | undefined;
  let wake: () => void = () => undefined;
  let woken = false;
  let lag = { unsent: 0, oldestSeconds: 0 };
  const handedOver = new Set<number>();

  function handOver(entry: OutboxEntry): void {
    try {
      if (!sendAtOnce?.(entry)) return;
    } catch (error) {
      log.warn({ err: error, seq: entry.seq }, 'an event could not be sent at once');
      return;
    }
    handedOver.add(entry.seq);
    if (handedOver.size > MAX_HANDED_OVER) {
      handedOver.delete(handedOver.values().next().value as number);
    }
  }

  /** How many were sent, and whether one could not be. */
  async function sendBatch(): Promise<{ sent: number; stopped: boolean }> {
    return database.withSystem(async (trx) => {
      const lock = await sql<{ ok: boolean }>`
        select pg_try_advisory_xact_lock(hashtextextended('outbox:' || current_schema(), 0)) as ok`.execute(
        trx,
      );
      if (!lock.rows[0]?.ok) return { sent: 0, stopped: false };
      const rows = await trx
        .selectFrom('outbox')
        .selectAll()
        .where('sent_at', 'is', null)
        .orderBy('seq')
        .limit(BATCH)
        .execute();
      const sent: number[] = [];
      try {
        for (const row of rows) {
          const { seq, tenant, subject, message_id: messageId, payload } = row;
          await send({ seq, tenant, subject, messageId, payload }, handedOver.delete(seq));
          sent.push(seq);
        }
      } catch (error) {
        // What was sent before stays marked; the rest waits, in order, and is sent from here.
        handedOver.clear();
        log.warn({ err: error, seq: rows[sent.length]?.seq }, 'an event could not be sent yet');
      }
      if (sent.length > 0) {
        await trx
          .updateTable('outbox')
          .set({ sent_at: sql<Date>`clock_timestamp()` })
          .where('seq', 'in', sent)
          .execute();
      }
      return { sent: sent.length, stopped: sent.length < rows.length };
    });
  }

  async function look(): Promise<void> {
    const row = await database.withSystem((trx) =>
      trx
        .selectFrom('outbox')
        .select([
          sql<number>`count(*)`.as('unsent'),
          sql<number | null>`extract(epoch from clock_timestamp() - min(created_at))::float8`.as(
            'age',
          ),
        ])
        .where('sent_at', 'is', null)
        .executeTakeFirstOrThrow(),
    );
    lag = { unsent: row.unsent, oldestSeconds: row.age ?? 0 };
  }

  async function prune(): Promise<void> {
    await database.withSystem((trx) =>
      trx
        .deleteFrom('outbox')
        .where(
          'sent_at',
          '<',
          sql<Date>`clock_timestamp() - make_interval(days => ${keepSentDays})`,
        )
        .execute(),
    );
  }

  async function run(): Promise<void> {
    let backoffMs = 0;
    let pruned = 0;
    while (state.running) {
      woken = false;
      try {
        let batch: { sent: number; stopped: boolean };
        do batch = await sendBatch();
        while (batch.sent === BATCH && state.running);
        await look();
        if (Date.now() - pruned > 3_600_000) {
          pruned = Date.now();
          await prune();
        }
        backoffMs = batch.stopped ? longer(backoffMs) : 0;
      } catch (error) {
        backoffMs = longer(backoffMs);
        log.warn({ err: error }, 'the outbox cannot be read');
      }
      // A failed send is not tried again because something new came behind it.
      if (state.running && (!woken || backoffMs > 0)) await pause(backoffMs || pollMs);
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  return {
    enqueue: async (transaction, { tenant, subject, payload }) => {
      const trx = transaction as unknown as Transaction<OutboxTables>;
      const { seq } = await trx
        .updateTable('outbox_head')
        .set((eb) => ({ seq: eb('seq', '+', 1) }))
        .where('tenant', '=', '*')
        .returning('seq')
        .executeTakeFirstOrThrow();
      const messageId = randomUUIDv7();
      const bytes = Buffer.from(payload(seq, messageId) as Uint8Array);
      await trx
        .insertInto('outbox')
        .values({
          seq,
          tenant,
          subject,
          message_id: messageId,
          payload: bytes,
          created_at: sql<Date>`clock_timestamp()`,
          sent_at: null,
        })
        .execute();
      database.afterCommit(trx, () => {
        handOver({ seq, tenant, subject, messageId, payload: bytes });
        woken = true;
        wake();
      });
      return seq;
    },
    head: async () => {
      const row = await database.db
        .selectFrom('outbox_head')
        .select('seq')
        .where('tenant', '=', '*')
        .executeTakeFirstOrThrow();
      return row.seq;
    },
    start: () => {
      if (state.running) return;
      state.running = true;
      loop = run();
    },
    stop: async () => {
      state.running = false;
      wake();
      await loop;
    },
    lag: () => lag,
  };
}

function longer(backoffMs: number): number {
  return Math.min(MAX_BACKOFF_MS, backoffMs === 0 ? 50 : backoffMs * 2);
}
