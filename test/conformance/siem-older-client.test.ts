import { testInfra } from '@remit/testkit';
import { AckPolicy } from 'nats';
import { expect, test } from 'vitest';
import { rawConnection } from '../attacks/raw-bus.ts';

test('a SIEM with the older nats client reads the audit subject with a durable of its own', async () => {
  await using infra = await testInfra({ siems: ['splunk'] });
  await using audit = await rawConnection(infra, infra.creds('audit'));
  await using erp = await rawConnection(infra, infra.pepCreds('acme', 'erp-1'));
  await using splunk = await rawConnection(infra, infra.creds('splunk'));
  // The audit service makes the stream and the durables; a SIEM has no right to.
  const manager = await audit.nc.jetstreamManager({ checkAPI: false });
  await manager.streams.add({ name: 'AUDIT', subjects: ['remit.audit.*.*.*'] });
  await manager.consumers.add('AUDIT', {
    durable_name: 'splunk',
    ack_policy: AckPolicy.Explicit,
  });
  await erp.request('remit.audit.acme.erp-1.decision', 'first');
  await erp.request('remit.audit.acme.erp-1.call_finished', 'second');

  const consumer = await splunk.nc
    .jetstream({ apiPrefix: 'JS.remit.API' })
    .consumers.get('AUDIT', 'splunk');
  const read: string[] = [];
  for await (const message of await consumer.fetch({ max_messages: 2, expires: 5000 })) {
    read.push(`${message.subject} ${message.string()}`);
    await message.ackAck();
  }
  expect(read).toEqual([
    'remit.audit.acme.erp-1.decision first',
    'remit.audit.acme.erp-1.call_finished second',
  ]);
  expect((await consumer.info()).num_ack_pending).toBe(0);
});
