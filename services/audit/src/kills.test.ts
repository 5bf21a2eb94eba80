import { join } from 'node:path';
import { connectBus, createVerifier } from '@remit/bus';
import { createRecorder, type Recorder } from '@remit/recorder';
import { createDatabase, createLogger, systemClock } from '@remit/service-kit';
import { type TestInfra, testInfra } from '@remit/testkit';
import pg from 'pg';
import { expect, test } from 'vitest';
import { readCheckpointKeys } from './checkpoint/keys.ts';
import { openOutsideStore } from './checkpoint/outside.ts';
import type { AuditTables } from './store/tables.ts';
import { verifyTenant } from './store/verify.ts';
import { type AuditProcess, processConfig, startAudit } from './test/process.ts';

// Exactly one row for each record whose producer was told that it is kept, whatever is killed when.

type Moment = 'after the commit' | 'before the commit';

/** A producer with its spool, the service behind a proxy that knows what is said to PostgreSQL. */
async function scene() {
  const cleanup = new AsyncDisposableStack();
  const infra = cleanup.use(await testInfra({ services: ['audit'] }));
  let tap: (connection: number, from: 'client' | 'target', chunk: Buffer) => void = () => {};
  const line = await infra.throughProxy(infra.databaseUrl('audit'), (...said) => tap(...said));
  const config = processConfig(infra, { databaseUrl: line.url });
  const bus = cleanup.use(
    await connectBus({ url: infra.natsUrl, ...infra.creds('issuer'), name: 'issuer' }),
  );
  const recorder = createRecorder({
    bus,
    producer: { service: 'issuer', instance: 'i1', version: '0.1.0' },
    spoolDir: join(infra.tmpDir, 'spool-issuer'),
    markVerifier: createVerifier(infra.trust().keys.audit_mark),
    limits: { republishAfterMs: 500 },
  });
  cleanup.defer(() => recorder.close());
  const log = createLogger({ service: 'audit', instance: 'reader', level: 'fatal' });
  const url = infra.databaseUrl('audit');
  const database = await createDatabase<AuditTables>({ url, schema: 'audit', log, insecure: true });
  cleanup.defer(() => database.close());
  return {
    infra,
    line,
    config,
    recorder,
    tapWith: (fn: typeof tap) => (tap = fn),
    rows: () =>
      database.withTenant('acme', (trx) =>
        trx.selectFrom('records').select(['seq', 'id']).orderBy('seq').execute(),
      ),
    async verify() {
      const keys = readCheckpointKeys(config.checkpointSignerFile, infra.trust(), systemClock);
      const outside = await openOutsideStore(config.checkpointDir);
      const kept = await outside.read('acme');
      return database.withTenant('acme', (trx) =>
        verifyTenant(trx, 'acme', {
          origin: keys.origin('acme'),
          verifiers: keys.verifiers('acme'),
          outside: kept,
        }),
      );
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}

async function make(recorder: Recorder, count: number): Promise<string[]> {
  const made = Array.from({ length: count }, () =>
    recorder.record('acme', { event: 'token.issued', decision: 'allow', principal: 'alice' }),
  );
  return (await Promise.all(made)).map(({ id }) => id);
}

/** Kills the service at the commit of the next batch with records. */
function killAt(
  moment: Moment,
  at: Awaited<ReturnType<typeof scene>>,
  service: AuditProcess,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let batch: number | undefined;
  let committing = false;
  const strike = (): void => {
    // The line first, so that what was just said goes no further.
    at.line.proxy.cut();
    at.tapWith(() => {});
    resolve(service.kill());
  };
  at.tapWith((connection, from, chunk) => {
    const text = chunk.toString('latin1');
    if (from === 'client' && /insert into "?records"?/.test(text)) batch = connection;
    if (connection !== batch) return;
    if (from === 'client' && /commit\0/i.test(text)) {
      committing = true;
      if (moment === 'before the commit') strike();
    } else if (from === 'target' && committing) strike();
  });
  return promise;
}

async function settled(at: Awaited<ReturnType<typeof scene>>, ids: string[]): Promise<void> {
  await expect.poll(() => at.recorder.stats().pending, { timeout: 20_000 }).toBe(0);
  const rows = await at.rows();
  expect(rows.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  expect(rows.map(({ seq }) => seq)).toEqual(ids.map((_, index) => index + 1));
  expect(await at.verify()).toMatchObject({ ok: true, size: ids.length, faults: [] });
}

const alarmsOf = (service: AuditProcess) => service.log().filter((line) => 'alarm' in line);

for (const moment of ['before the commit', 'after the commit'] as const) {
  // Acknowledging before the commit loses the batch, a row per delivery doubles it; and what the killed
  // one had in hand must be back before its absence looks like a producer that lost records.
  test(`killed ${moment}, the next start has every record once and calls nothing a gap`, async () => {
    await using at = await scene();
    const ids: string[] = [];
    const first = await startAudit(at.config);
    ids.push(...(await make(at.recorder, 3)));
    await expect.poll(() => at.recorder.stats().pending).toBe(0);
    const gone = killAt(moment, at, first);
    ids.push(...(await make(at.recorder, 40)));
    await gone;
    expect(await at.rows()).toHaveLength(
      moment === 'before the commit' ? 3 : (await at.rows()).length,
    );
    ids.push(...(await make(at.recorder, 5)));
    at.line.proxy.heal();
    await using second = await startAudit(at.config);
    ids.push(...(await make(at.recorder, 5)));
    await settled(at, ids);
    expect(alarmsOf(second)).toEqual([]);
  }, 60_000);
}

test('a wiped stream is declared again without a restart, and spools bring what it had', async () => {
  await using at = await scene();
  await using service = await startAudit(at.config);
  const ids = await make(at.recorder, 3);
  // The service is stopped, so that the stream alone has what comes now.
  service.child.kill('SIGSTOP');
  const made = await make(at.recorder, 10);
  expect(made).toHaveLength(10);
  await at.infra.wipeStreams();
  service.child.kill('SIGCONT');
  ids.push(...made, ...(await make(at.recorder, 3)));
  await settled(at, ids);
}, 60_000);

test('a disk that is full, then a line that is slow: records wait where they are, and each comes in once', async () => {
  await using at = await scene();
  await using service = await startAudit(at.config);
  const ids = await make(at.recorder, 3);
  await expect.poll(() => at.recorder.stats().pending).toBe(0);

  await asOwner(
    at.infra,
    `create function no_space() returns trigger language plpgsql as $$
    begin raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end $$;
    create trigger full_disk before insert on records for each row execute function no_space()`,
  );
  ids.push(...(await make(at.recorder, 20)));
  await expect
    .poll(() => service.log().some((line) => line['code'] === 'HANDLER_FAILED'))
    .toBe(true);
  expect(await at.rows()).toHaveLength(3);
  expect(at.recorder.stats().pending).toBe(20);

  at.line.proxy.delay(50);
  await asOwner(at.infra, 'drop trigger full_disk on records');
  ids.push(...(await make(at.recorder, 20)));
  await settled(at, ids);
  at.line.proxy.delay(0);
  expect(alarmsOf(service)).toEqual([]);
}, 60_000);

async function asOwner(infra: TestInfra, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: infra.ownerUrl('audit') });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
