import { type TestInfra, testInfra } from '@remit/testkit';
import { sql } from 'kysely';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from './database.ts';
import { type Migrations, runMigrations } from './migrations.ts';
import { createOutbox, createOutboxTables, type OutboxEntry, type OutboxTables } from './outbox.ts';

type Tables = OutboxTables & {
  note: { tenant: string; id: number; text: string };
  lease: { tenant: string; holder: string };
};

const log = pino({ level: 'silent' });

const migrations: Migrations = {
  '0001_start': async (context) => {
    const { db, tenantTable, serviceTable } = context;
    await sql`create table note (tenant text not null, id bigint not null, text text not null, primary key (tenant, id))`.execute(
      db,
    );
    await tenantTable('note', { privileges: ['select', 'insert', 'update'], system: ['select'] });
    await sql`create table lease (tenant text primary key, holder text not null)`.execute(db);
    await serviceTable('lease');
    await createOutboxTables(context);
  },
};

let infra: TestInfra;
let database: Database<Tables>;

beforeAll(async () => {
  infra = await testInfra({ services: ['issuer'], nats: false });
  await emptySchema(infra.ownerUrl('issuer'));
  await migrate(migrations);
  database = await open();
});
afterAll(async () => {
  await database.close();
  await infra[Symbol.asyncDispose]();
});

function open(url = infra.databaseUrl('issuer')): Promise<Database<Tables>> {
  return createDatabase<Tables>({ url, schema: 'issuer', log, insecure: true });
}

function migrate(all: Migrations): Promise<string[]> {
  const ownerUrl = infra.ownerUrl('issuer');
  return runMigrations({ ownerUrl, schema: 'issuer', appRole: 'remit_issuer', migrations: all });
}

describe('migrations', () => {
  it('run once, also when two processes migrate at the same time', async () => {
    const more: Migrations = {
      ...migrations,
      '0002_more': async ({ db, tenantTable }) => {
        await sql`create table more (tenant text not null)`.execute(db);
        await tenantTable('more');
      },
    };
    const ran = await Promise.all([migrate(more), migrate(more)]);
    expect(ran.flat()).toEqual(['0002_more']);
    expect(await migrate(more)).toEqual([]);
  });

  // Red when assertTenantTables is not called after migrating.
  it('refuse a schema with a table that is not behind tenants', async () => {
    const other = await testInfra({ services: ['pdp'], nats: false });
    try {
      await emptySchema(other.ownerUrl('pdp'));
      const bare: Migrations = {
        '0001_bare': async ({ db }) => {
          await sql`create table bare (tenant text not null)`.execute(db);
        },
      };
      await expect(
        runMigrations({
          ownerUrl: other.ownerUrl('pdp'),
          schema: 'pdp',
          appRole: 'remit_pdp',
          migrations: bare,
        }),
      ).rejects.toMatchObject({
        code: 'MIGRATION_UNSAFE',
        message: 'Tables of pdp are not behind tenants: bare. Call tenantTable for each.',
      });
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it('say which one failed, and why', async () => {
    const broken: Migrations = {
      ...migrations,
      '0002_more': async () => undefined,
      '0003_broken': async ({ db }) => {
        await sql`create tabel x ()`.execute(db);
      },
    };
    await expect(migrate(broken)).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      message:
        'The schema issuer could not be migrated at 0003_broken: syntax error at or near "tabel"',
    });
  });
});

describe('withTenant', () => {
  // Red without FORCE ROW LEVEL SECURITY's policy on the table.
  it('shows and takes only the rows of its tenant', async () => {
    await database.withTenant('acme', (trx) => insert(trx, 'acme', 1));
    await database.withTenant('globex', (trx) => insert(trx, 'globex', 1));
    const seen = await database.withTenant('acme', (trx) =>
      trx.selectFrom('note').selectAll().execute(),
    );
    expect(seen.map(({ tenant }) => tenant)).toEqual(['acme']);
    await expect(database.withTenant('acme', (trx) => insert(trx, 'globex', 2))).rejects.toThrow(
      'new row violates row-level security policy for table "note"',
    );
    const changed = await database.withTenant('acme', (trx) =>
      trx
        .updateTable('note')
        .set({ text: 'taken' })
        .where('tenant', '=', 'globex')
        .executeTakeFirst(),
    );
    expect(changed.numUpdatedRows).toBe(0n);
    await expect(
      database.withTenant('acme', (trx) =>
        trx.updateTable('note').set({ tenant: 'globex' }).execute(),
      ),
    ).rejects.toThrow('row-level security');
  });

  it('leaves no tenant on the connection', async () => {
    await database.withTenant('acme', async () => undefined);
    expect(await database.db.selectFrom('note').selectAll().execute()).toEqual([]);
    await expect(database.withTenant('a.b', async () => undefined)).rejects.toThrow(
      'not a tenant id',
    );
  });

  it('gives no right that a migration did not grant, and no DDL', async () => {
    await expect(
      database.withTenant('acme', (trx) => trx.deleteFrom('note').execute()),
    ).rejects.toThrow('permission denied for table note');
    await expect(sql`create table planted ()`.execute(database.db)).rejects.toThrow(
      'permission denied for schema issuer',
    );
    await expect(sql`delete from kysely_migration`.execute(database.db)).rejects.toThrow(
      'permission denied',
    );
  });

  it('runs what waits for the commit after it, and not after a rollback', async () => {
    const order: string[] = [];
    await database.withTenant('acme', async (trx) => {
      database.afterCommit(trx, () => order.push('after'));
      order.push('inside');
    });
    const failed = database.withTenant('acme', async (trx) => {
      database.afterCommit(trx, () => order.push('never'));
      throw new Error('rolled back');
    });
    await expect(failed).rejects.toThrow('rolled back');
    expect(order).toEqual(['inside', 'after']);
  });
});

describe('atOnce', () => {
  const add = (tenant: string, id: number) => ({
    name: 'add',
    text: "insert into note values ($1, $2, 'at once') returning id",
    values: [tenant, id],
  });
  const all = { name: 'all', text: 'select tenant, id from note order by id desc', values: [] };

  it('runs statements in their order as one transaction of a tenant, with exact numbers', async () => {
    const [before, added, after] = await database.atOnce('acme', [all, add('acme', 801), all]);
    expect(before?.rows).not.toContainEqual({ tenant: 'acme', id: 801 });
    expect(added).toMatchObject({ rows: [{ id: 801 }], rowCount: 1 });
    expect(after?.rows[0]).toEqual({ tenant: 'acme', id: 801 });
    expect(after?.rows).toHaveLength((before?.rows.length ?? 0) + 1);
    const exact = { name: 'exact', text: 'select 9007199254740993::bigint', values: [] };
    await expect(database.atOnce('acme', [exact])).rejects.toThrow('not exact');
  });

  // Red when the tenant is not set before the statements, or stays set behind them.
  it('shows and takes only the rows of its tenant, and leaves none on the connection', async () => {
    await database.atOnce('globex', [add('globex', 802)]);
    const [seen] = await database.atOnce('acme', [all]);
    expect(new Set(seen?.rows.map(({ tenant }) => tenant as string))).toEqual(new Set(['acme']));
    await expect(database.atOnce('acme', [add('globex', 803)])).rejects.toThrow(
      'row-level security',
    );
    await expect(database.atOnce('a.b', [all])).rejects.toThrow('not a tenant id');
    expect(await database.db.selectFrom('note').selectAll().execute()).toEqual([]);
  });

  // Red when each statement has a Sync of its own.
  it('keeps nothing when a later statement fails, and goes on afterwards', async () => {
    const twice = [add('acme', 804), add('acme', 804), all];
    await expect(database.atOnce('acme', twice)).rejects.toMatchObject({ code: '23505' });
    const [seen] = await database.atOnce('acme', [all]);
    expect(seen?.rows).not.toContainEqual({ tenant: 'acme', id: 804 });
    const [added] = await database.atOnce('acme', [add('acme', 804)]);
    expect(added?.rowCount).toBe(1);
  });

  it('writes nothing where it only reads', async () => {
    await expect(database.atOnce('acme', [add('acme', 805)], { readOnly: true })).rejects.toThrow(
      'read-only transaction',
    );
    const [added] = await database.atOnce('acme', [add('acme', 805)]);
    expect(added?.rowCount).toBe(1);
  });

  it('takes turns on few connections', async () => {
    const many = Array.from({ length: 60 }, (_, n) => n + 900);
    const sizes = await Promise.all(
      many.map(async (id) => (await database.atOnce('acme', [add('acme', id)]))[0]?.rowCount),
    );
    expect(sizes).toEqual(many.map(() => 1));
    expect(database.stats()).toMatchObject({ waiting: 0 });
  });
});

describe('withSystem', () => {
  it('reaches over tenants only what a migration gave to upkeep', async () => {
    const seen = await database.withSystem((trx) =>
      trx.selectFrom('note').select('tenant').execute(),
    );
    expect(new Set(seen.map(({ tenant }) => tenant))).toEqual(new Set(['acme', 'globex']));
    const changed = await database.withSystem((trx) =>
      trx.updateTable('note').set({ text: 'x' }).executeTakeFirst(),
    );
    expect(changed.numUpdatedRows).toBe(0n);
    await expect(database.withSystem((trx) => insert(trx, 'acme', 9))).rejects.toThrow(
      'row-level security',
    );
  });

  it('shares a service row that belongs to no tenant', async () => {
    await database.withSystem((trx) =>
      trx.insertInto('lease').values({ tenant: '*', holder: 'a' }).execute(),
    );
    const seen = await database.withTenant('acme', (trx) =>
      trx.selectFrom('lease').selectAll().execute(),
    );
    expect(seen).toEqual([{ tenant: '*', holder: 'a' }]);
    await expect(
      database.withTenant('acme', (trx) =>
        trx.insertInto('lease').values({ tenant: 'acme', holder: 'b' }).execute(),
      ),
    ).rejects.toThrow('row-level security');
  });
});

describe('a database', () => {
  it('is refused when it may lose what it acknowledged', async () => {
    const url = infra.databaseUrl('issuer');
    await expect(createDatabase({ url, schema: 'issuer', log })).rejects.toMatchObject({
      code: 'DATABASE_UNSAFE',
      message: expect.stringMatching(/fsync=off.*REMIT_INSECURE_DATABASE=true/),
    });
  });

  it('gives exact numbers and refuses what a number cannot hold', async () => {
    const exact = await sql<{ n: number }>`select 9007199254740991::bigint as n`.execute(
      database.db,
    );
    expect(exact.rows).toEqual([{ n: 9007199254740991 }]);
    await expect(sql`select 9007199254740993::bigint`.execute(database.db)).rejects.toThrow(
      'not exact',
    );
  });

  it('comes back by itself after its connections were cut', async () => {
    const { url, proxy } = await infra.throughProxy(infra.databaseUrl('issuer'));
    const through = await open(url);
    await through.ping();
    proxy.cut();
    await expect(through.ping()).rejects.toThrow();
    proxy.heal();
    await through.ping();
    await through.close();
  });
});

describe('the outbox', () => {
  it('sends what was committed, in order, and nothing that was rolled back', async () => {
    const sent: OutboxEntry[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const outbox = createOutbox({
      database,
      log,
      send: async (entry) => {
        sent.push(entry);
        if (sent.length === 30) resolve();
      },
    });
    await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        database
          .withTenant(i % 2 ? 'acme' : 'globex', async (trx) => {
            await outbox.enqueue(trx, {
              tenant: i % 2 ? 'acme' : 'globex',
              subject: 'x',
              payload: (seq) => `n${seq}`,
            });
            if (i % 4 === 0) throw new Error('rolled back');
          })
          .catch(() => undefined),
      ),
    );
    expect(await outbox.head()).toBe(30);
    outbox.start();
    await done;
    await outbox.stop();
    expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(sent.map(({ payload }) => Buffer.from(payload).toString())).toEqual(
      sent.map(({ seq }) => `n${seq}`),
    );
    expect(new Set(sent.map(({ messageId }) => messageId)).size).toBe(30);
  });

  it('tries a message again under the same id, and none that comes after it first', async () => {
    const sent: string[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    let failures = 2;
    const outbox = createOutbox({
      database,
      log,
      send: async ({ seq, messageId }) => {
        sent.push(`${seq} ${messageId}`);
        if (failures-- > 0) throw new Error('the bus is away');
        if (seq === 32) resolve();
      },
    });
    outbox.start();
    for (let i = 0; i < 2; i++) {
      await database.withTenant('acme', (trx) =>
        outbox.enqueue(trx, { tenant: 'acme', subject: 'x', payload: () => 'y' }),
      );
    }
    await done;
    await outbox.stop();
    expect(sent.map((line) => line.split(' ')[0])).toEqual(['31', '31', '31', '32']);
    expect(new Set(sent).size).toBe(2);
    expect(outbox.lag().unsent).toBe(0);
  });

  // Red without the advisory lock in sendBatch.
  it('has one sender at a time, whatever the number of replicas', async () => {
    const seen: number[] = [];
    let inside = 0;
    let most = 0;
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const outboxes = [1, 2, 3].map(() =>
      createOutbox({
        database,
        log,
        pollMs: 5,
        send: async ({ seq }) => {
          most = Math.max(most, ++inside);
          await sql`select pg_sleep(0.002)`.execute(database.db);
          inside--;
          seen.push(seq);
          if (seq === 62) resolve();
        },
      }),
    );
    for (const outbox of outboxes) outbox.start();
    for (let i = 0; i < 30; i++) {
      await database.withTenant('acme', (trx) =>
        (outboxes[i % 3] as (typeof outboxes)[0]).enqueue(trx, {
          tenant: 'acme',
          subject: 'x',
          payload: () => 'y',
        }),
      );
    }
    await done;
    await Promise.all(outboxes.map((outbox) => outbox.stop()));
    expect(most).toBe(1);
    expect(seen).toEqual(Array.from({ length: 30 }, (_, i) => i + 33));
  });
});

function insert(
  trx: Parameters<Parameters<Database<Tables>['withTenant']>[1]>[0],
  tenant: string,
  id: number,
) {
  return trx.insertInto('note').values({ tenant, id, text: 't' }).execute();
}

/** The clone comes migrated by its service; this file brings its own tables. */
async function emptySchema(ownerUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  await client.query(`do $$ declare t text; begin
    for t in select tablename from pg_tables where schemaname = current_schema loop
      execute format('drop table %I cascade', t);
    end loop; end $$`);
  await client.end();
}
