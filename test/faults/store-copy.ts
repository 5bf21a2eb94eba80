import { existsSync, rmSync } from 'node:fs';
import pg from 'pg';
import type { World } from './world.ts';

/** A copy of what the revocation service keeps, as a backup would hold it. */
export type StoreCopy = {
  /** Puts the store back to how it was when it was copied. Nobody may use it meanwhile. */
  restore(): Promise<void>;
};

const SCHEMA = 'revocation';

/** Copies every table of the revocation service beside itself. */
export async function copyStore(world: World): Promise<StoreCopy> {
  const name = `copy_${process.hrtime.bigint()}`;
  const tables = await inStore(world, async (client) => {
    const { rows } = await client.query<{ tablename: string }>(
      'select tablename from pg_tables where schemaname = $1',
      [SCHEMA],
    );
    await client.query(`create schema ${name}`);
    await client.query('begin isolation level repeatable read');
    for (const { tablename } of rows) {
      await client.query(
        `create table ${name}.${tablename} as select * from ${SCHEMA}.${tablename}`,
      );
    }
    await client.query('commit');
    return rows.map(({ tablename }) => tablename);
  });
  return {
    restore: () =>
      inStore(world, async (client) => {
        await client.query('begin');
        // No trigger and no foreign key looks on: a backup comes in below them.
        await client.query('set local session_replication_role = replica');
        for (const table of tables) {
          await client.query(`delete from ${SCHEMA}.${table}`);
          await client.query(
            `insert into ${SCHEMA}.${table} overriding system value select * from ${name}.${table}`,
          );
        }
        await client.query('commit');
      }),
  };
}

/** The newest epoch of the revocation service's store. */
export async function epochOf(world: World): Promise<string> {
  return inStore(world, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `select id from ${SCHEMA}.epoch order by number desc limit 1`,
    );
    return rows[0]?.id ?? '';
  });
}

/** What replicas know of the store from outside is what tells a store that was put back. */
export function forgetStores(world: World): void {
  for (const name of ['revocation', 'revocation-2']) {
    const file = world.stack.plan.path('spool', name, 'store-seen.json');
    if (!existsSync(file)) throw new Error(`${name} keeps nothing at ${file}`);
    rmSync(file);
  }
}

type Row = { id: string; seq: number; decision: string | null; corrects: string | null };

/** Every row of the tenant's ledger. */
export async function ledgerRows(world: World): Promise<Row[]> {
  return inStore(world, async (client) => {
    const { rows } = await client.query<Omit<Row, 'seq'> & { seq: string }>(
      `select id, seq, decision, case when event = 'decision' then decision_id end as corrects
       from audit.records where tenant = $1 order by seq`,
      [world.dev.tenant],
    );
    return rows.map(({ seq, ...row }) => ({ ...row, seq: Number(seq) }));
  });
}

async function inStore<T>(world: World, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: world.stack.superuserUrl('remit') });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
