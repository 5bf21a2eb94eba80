import type { Database } from '@remit/service-kit';
import { sql } from 'kysely';
import type { Tables, Trx } from './tables.ts';

/** Services whose events take authority away. */
export const SOURCES = ['registry', 'pdp'] as const;
export type Source = (typeof SOURCES)[number];

/** Up to where each source's events are taken in. */
export async function readPositions(database: Database<Tables>): Promise<Record<Source, number>> {
  const { rows } = await sql<{ source: Source; seq: number }>`
    select source, seq from source_position`.execute(database.db);
  return Object.fromEntries(rows.map(({ source, seq }) => [source, seq])) as Record<Source, number>;
}

/**
 * Says whether an event is new, and remembers it, in the transaction that carries its effect. Locks
 * the source's position until commit, so that two replicas take turns.
 */
export async function takeIn(trx: Trx, source: Source, seq: number): Promise<boolean> {
  const position = await lockPosition(trx, source);
  if (seq <= position) return false;
  const inserted = await trx
    .insertInto('source_ahead')
    .values({ tenant: '*', source, seq })
    .onConflict((conflict) => conflict.doNothing())
    .returning('seq')
    .executeTakeFirst();
  if (!inserted) return false;
  await advance(trx, source, position);
  return true;
}

/** Moves a position over a gap that nothing fills. */
export async function skipTo(trx: Trx, source: Source, seq: number): Promise<boolean> {
  const position = await lockPosition(trx, source);
  if (seq <= position) return false;
  await advance(trx, source, seq);
  return true;
}

/** Moves a position back to where a source that was put back begins anew. */
export async function backTo(trx: Trx, source: Source, seq: number): Promise<void> {
  const position = await lockPosition(trx, source);
  if (seq >= position) return;
  await trx.updateTable('source_position').set({ seq }).where('source', '=', source).execute();
  await trx.deleteFrom('source_ahead').where('source', '=', source).execute();
}

async function lockPosition(trx: Trx, source: Source): Promise<number> {
  const { seq } = await trx
    .selectFrom('source_position')
    .select('seq')
    .where('source', '=', source)
    .forUpdate()
    .executeTakeFirstOrThrow();
  return seq;
}

/** The position goes to the last of the numbers that follow it without a gap. */
async function advance(trx: Trx, source: Source, from: number): Promise<void> {
  const { rows } = await sql<{ seq: number }>`
    with recursive chain (seq) as (
      select ${from}::bigint
      union all
      select a.seq from chain c join source_ahead a on a.source = ${source} and a.seq = c.seq + 1)
    select max(seq) as seq from chain`.execute(trx);
  const seq = rows[0]?.seq ?? from;
  await trx.updateTable('source_position').set({ seq }).where('source', '=', source).execute();
  await trx
    .deleteFrom('source_ahead')
    .where('source', '=', source)
    .where('seq', '<=', seq)
    .execute();
}

/** Keeps a message of a stream that could not be understood or believed. */
export async function quarantine(
  database: Database<Tables>,
  row: { stream: string; subject: string; why: string; payload: Uint8Array },
): Promise<void> {
  await database.db
    .insertInto('quarantine')
    .values({ ...row, tenant: '*', payload: Buffer.from(row.payload) })
    .execute();
}
