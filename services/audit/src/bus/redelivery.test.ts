import { connectBus } from '@remit/bus';
import { durables, streams } from '@remit/contracts';
import { createDatabase, createLogger, createMetrics } from '@remit/service-kit';
import { testInfra } from '@remit/testkit';
import { expect, test } from 'vitest';
import { createIngest } from '../ingest/ingest.ts';
import type { AuditTables } from '../store/tables.ts';
import { decision, messageOf } from '../test/messages.ts';

const byIssuer = (n: number) =>
  messageOf(
    decision(n, {
      producer: { service: 'issuer', instance: 'i1', version: '0.1.0', boot: 'boot1', n },
    }),
  );

/**
 * A consumer of the durable `ingest` on real servers whose first batch goes wrong at one point.
 * Acknowledging before the commit would lose the batch of the first test; a row per delivery instead
 * of per id would double that of the second.
 */
async function ingestTwice(where: 'after the commit' | 'before the commit') {
  await using infra = await testInfra({ services: ['audit'] });
  const log = createLogger({ service: 'audit', instance: 't', level: 'fatal' });
  const metrics = createMetrics({ service: 'audit', version: 'test' });
  const database = await createDatabase<AuditTables>({
    url: infra.databaseUrl('audit'),
    schema: 'audit',
    log,
    insecure: true,
  });
  const audit = await connectBus({
    url: infra.natsUrl,
    ...infra.creds('audit'),
    name: 'audit',
  });
  const issuer = await connectBus({ url: infra.natsUrl, ...infra.creds('issuer'), name: 'issuer' });
  let attempts = 0;
  const crash = (): void => {
    attempts++;
    if (attempts === 1) throw new Error(`gone ${where}`);
  };
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const ingest = createIngest({
    database,
    log,
    metrics,
    onCommitted: () => {
      if (where === 'after the commit') crash();
      resolve();
    },
  });
  await audit.ensureStream(streams.AUDIT);
  for (const n of [1, 2, 3]) {
    const { subject, data } = byIssuer(n);
    await issuer.publishRecord(subject, data, `m${n}`);
  }
  const { stream, durable } = durables.auditIngest;
  const deliveries: number[] = [];
  const consumption = audit.consume(
    { stream, durable, consumer: {}, nakDelayMs: 50, onError: () => {} },
    async (messages) => {
      deliveries.push(...messages.map((message) => message.deliveries));
      if (where === 'before the commit') crash();
      await ingest(messages);
    },
  );
  await finished;
  const rows = () =>
    database.withTenant('acme', (trx) =>
      trx.selectFrom('records').select('seq').orderBy('seq').execute(),
    );
  await expect.poll(async () => (await rows()).length).toBe(3);
  await expect.poll(() => Math.max(...deliveries)).toBeGreaterThan(1);
  await consumption.stop();
  const seqs = (await rows()).map(({ seq }) => seq);
  await audit.close();
  await issuer.close();
  await database.close();
  metrics.stop();
  return { seqs, text: metrics.text() };
}

test('a batch whose consumer dies before the commit comes again and is not lost', async () => {
  const { seqs } = await ingestTwice('before the commit');
  expect(seqs).toEqual([1, 2, 3]);
});

test('a batch whose consumer dies between commit and acknowledgement comes again as one row each', async () => {
  const { seqs, text } = await ingestTwice('after the commit');
  expect(seqs).toEqual([1, 2, 3]);
  expect(text).toMatch(/remit_audit_duplicates_total [1-3]/);
});
