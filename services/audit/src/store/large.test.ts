import { inclusionProof } from '@remit/ledger';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { largeLedger } from '../test/large.ts';
import { findRecords, type RecordQuery, recordsQuery } from './read.ts';
import { hashReader } from './tree.ts';

const SIZE = 20_000;

type Plan = { 'Rows Removed by Filter'?: number; Plans?: Plan[] };

/** Rows that were read and thrown away. */
function wasted(plan: Plan): number {
  const below = (plan.Plans ?? []).map(wasted).reduce((sum, rows) => sum + rows, 0);
  return (plan['Rows Removed by Filter'] ?? 0) + below;
}

test('whatever is asked of a large ledger, an index answers, also when nothing matches', async () => {
  await using large = await largeLedger(SIZE);
  const window = { from: large.timeOf(5_000), to: large.timeOf(5_100) };
  const asked: (Partial<RecordQuery> & { found: number })[] = [
    { found: 50 },
    { task: 'task_77', found: 1 },
    { agent: 'agent-7', found: 50 },
    { agent: 'nobody', found: 0 },
    { user: 'user-5', found: 20 },
    { user: 'nobody', found: 0 },
    { event: 'token.revoked', found: 0 },
    { reason: 'task_scope', found: 50 },
    { reason: 'nothing', found: 0 },
    { action: 'nothing', found: 0 },
    { resource: 'erp/suppliers/S-13', found: 4 },
    { token: 'nothing', found: 0 },
    { ...window, found: 50 },
    { agent: 'agent-7', ...window, found: 2 },
    { user: 'user-7', ...window, found: 1 },
  ];
  for (const { found, ...query } of asked) {
    for (const oldestFirst of [false, true]) {
      const given = { ...query, oldestFirst, limit: 50 };
      const { rows, plan } = await large.database.withTenant('acme', async (trx) => ({
        rows: await findRecords(trx, 'acme', given),
        plan: await (await recordsQuery(trx, 'acme', given)).explain('json', sql`analyze`),
      }));
      expect([query, rows.length]).toEqual([query, found]);
      const [
        {
          'QUERY PLAN': [{ Plan: root }],
        },
      ] = plan as [{ 'QUERY PLAN': [{ Plan: Plan }] }];
      expect([query, wasted(root) < SIZE / 5]).toEqual([query, true]);
    }
  }

  // A proof reads a few short ranges, wherever the record stands.
  const reads: number[] = [];
  await large.database.withTenant('acme', async (trx) => {
    const read = hashReader(trx, 'acme');
    for (const index of [0, 255, 256, 9_999, SIZE - 1]) {
      let hashes = 0;
      await inclusionProof(
        async (...range) => {
          const got = await read(...range);
          hashes += got.length;
          return got;
        },
        index,
        SIZE,
      );
      reads.push(hashes);
    }
  });
  expect(Math.max(...reads)).toBeLessThan(600);
}, 60_000);
