import type { HeadResponse, SinceResponse, SnapshotResponse } from '@remit/contracts';
import { type Database, WireError } from '@remit/service-kit';
import { readPoint } from '../store/point.ts';
import type { Tables, Trx } from '../store/tables.ts';
import { createBatches } from './batches.ts';
import { since, snapshot } from './feed-pages.ts';

/** Askers that one read serves. */
const MAX_HEADS = 1_000;
/** Askers that one transaction serves with pages; each different page is read once. */
const MAX_PAGES = 100;

/** What PEPs ask for, of which a thousand may ask at once after an outage. */
export type FeedAnswers = {
  head(tenant: string, asked: { nonce: string }): Promise<HeadResponse>;
  since(tenant: string, asked: { epoch: string; after: number }): Promise<SinceResponse>;
  snapshot(tenant: string, asked: { nonce: string; cursor?: string }): Promise<SnapshotResponse>;
};

/**
 * Answers from reads that those who ask at the same time share. A read begins after each of its askers
 * asked, so an answer is as new as one of its own, and every answer carries its asker's nonce.
 */
export function createFeedAnswers(database: Database<Tables>): FeedAnswers {
  const heads = createBatches<{ nonce: string }, HeadResponse>({
    run: (tenant, items) =>
      database.withTenant(tenant, async (trx) => {
        const { epoch, seq, term, timeMs, tag } = await readPoint(trx, tenant);
        return items.map(({ nonce }) => ({ nonce, epoch, seq, term, time: timeMs, tag }));
      }),
    isApart: () => false,
    maxItems: MAX_HEADS,
  });
  const log = createBatches<{ epoch: string; after: number }, SinceResponse>({
    run: (tenant, items) =>
      database.withTenant(tenant, (trx) =>
        once(
          items,
          ({ epoch, after }) => `${after} ${epoch}`,
          (item) => since(trx, tenant, item),
        ),
      ),
    isApart: () => false,
    maxItems: MAX_PAGES,
  });
  const pages = createBatches<{ nonce: string; cursor?: string }, SnapshotResponse>({
    run: (tenant, items) => database.withTenant(tenant, (trx) => snapshots(trx, tenant, items)),
    // A cursor that is none of ours is its asker's alone.
    isApart: (error) => error instanceof WireError,
    maxItems: MAX_PAGES,
  });
  return { head: heads, since: log, snapshot: pages };
}

async function snapshots(
  trx: Trx,
  tenant: string,
  items: readonly { nonce: string; cursor?: string }[],
): Promise<SnapshotResponse[]> {
  const read = await once(
    items,
    ({ cursor = '' }) => cursor,
    (item) => snapshot(trx, tenant, item),
  );
  return read.map((page, at) => ({ ...page, nonce: (items[at] as { nonce: string }).nonce }));
}

/** One answer per item; items with the same key share one reading. */
async function once<Item, Answer>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  readOne: (item: Item) => Promise<Answer>,
): Promise<Answer[]> {
  const known = new Map<string, Answer>();
  const answers: Answer[] = [];
  for (const item of items) {
    const key = keyOf(item);
    const answer = known.get(key) ?? (await readOne(item));
    known.set(key, answer);
    answers.push(answer);
  }
  return answers;
}
