import { type TestInfra, testInfra } from '@remit/testkit';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createDatabase, type Database } from './database.ts';
import { runMigrations } from './migrations.ts';
import { createOutbox, createOutboxTables, type OutboxTables } from './outbox.ts';

const log = pino({ level: 'silent' });
let infra: TestInfra;
let database: Database<OutboxTables>;

beforeAll(async () => {
  infra = await testInfra({ services: ['issuer'], nats: false });
  const ownerUrl = infra.ownerUrl('issuer');
  await emptySchema(ownerUrl);
  const migrations = { '0001_outbox': createOutboxTables };
  await runMigrations({ ownerUrl, schema: 'issuer', appRole: 'remit_issuer', migrations });
  database = await createDatabase({
    url: infra.databaseUrl('issuer'),
    schema: 'issuer',
    log,
    insecure: true,
  });
});
afterAll(async () => {
  await database.close();
  await infra[Symbol.asyncDispose]();
});

it('hands a message over as soon as it is committed, and never one that was rolled back', async () => {
  const events: string[] = [];
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const outbox = createOutbox({
    database,
    log,
    send: async ({ seq }, handedOver) => {
      events.push(`sent ${seq}${handedOver ? ', which was handed over' : ''}`);
      if (seq === 3) resolve();
    },
    sendAtOnce: ({ seq, payload }) => {
      events.push(`handed over ${seq} ${Buffer.from(payload).toString()}`);
      // The second one isn't taken, the third fails: both are sent as if nothing had been tried.
      if (seq === 3) throw new Error('the bus is closed');
      return seq !== 2;
    },
  });
  const write = (fails = false) =>
    database.withTenant('acme', async (trx) => {
      await outbox.enqueue(trx, { tenant: 'acme', subject: 'x', payload: (seq) => `n${seq}` });
      if (fails) throw new Error('rolled back');
    });
  await expect(write(true)).rejects.toThrow('rolled back');
  await write();
  // Before whoever wrote it goes on, and before the sender looks.
  expect(events).toEqual(['handed over 1 n1']);
  await write();
  await write();
  outbox.start();
  await done;
  await outbox.stop();
  expect(events.slice(3)).toEqual(['sent 1, which was handed over', 'sent 2', 'sent 3']);
  expect(outbox.lag().unsent).toBe(0);
});

// Red when a failed send forgets nothing: what was handed over may be lost with the connection.
it('sends again itself what was handed over when a send fails', async () => {
  const sent: string[] = [];
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let fails = true;
  const outbox = createOutbox({
    database,
    log,
    send: async ({ seq }, handedOver) => {
      sent.push(`${seq} ${handedOver}`);
      if (fails) {
        fails = false;
        throw new Error('the bus is away');
      }
      if (seq === 5) resolve();
    },
    sendAtOnce: () => true,
  });
  for (let n = 0; n < 2; n++) {
    await database.withTenant('acme', (trx) =>
      outbox.enqueue(trx, { tenant: 'acme', subject: 'x', payload: () => 'y' }),
    );
  }
  outbox.start();
  await done;
  await outbox.stop();
  expect(sent).toEqual(['4 true', '4 false', '5 false']);
});

/** The clone comes migrated by its service; this file brings its own table. */
async function emptySchema(ownerUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  await client.query(`do $$ declare t text; begin
    for t in select tablename from pg_tables where schemaname = current_schema loop
      execute format('drop table %I cascade', t);
    end loop; end $$`);
  await client.end();
}
