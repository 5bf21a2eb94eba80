import { connectBus } from '@remit/bus';
import { auditMessage, cloudEvent, conform, parseJsonStrict } from '@remit/contracts';
import { connect, nkeyAuthenticator } from 'nats';
import { expect, test } from 'vitest';
import { decision, messageOf } from '../test/messages.ts';
import { testService } from '../test/service.ts';

// The subject is a public contract: what follows is written against the older client, `nats` 2.x, and
// knows of Remit only a URL, a seed, an inbox prefix, an API prefix, a stream and a durable.

const siemMessage = cloudEvent(auditMessage);
const byIssuer = (n: number) =>
  messageOf(
    decision(n, {
      producer: { service: 'issuer', instance: 'i1', version: '0.1.0', boot: 'boot1', n },
    }),
  );

/** A SIEM as its vendor would connect it. */
async function connectSiem(natsUrl: string, seed: string) {
  return connect({
    servers: natsUrl,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed.trim())),
    inboxPrefix: '_INBOX_siem',
    maxReconnectAttempts: -1,
  });
}

test('a SIEM reads every record from a durable of its own, and goes on where it was after a restart', async () => {
  await using service = await testService();
  const { infra } = service;
  await service.send([1, 2, 3].map(byIssuer));

  const read = async (count: number): Promise<number[]> => {
    const nc = await connectSiem(infra.natsUrl, infra.creds('siem').seed);
    const consumer = await nc
      .jetstream({ apiPrefix: 'JS.remit.API' })
      .consumers.get('AUDIT', 'siem');
    const numbers: number[] = [];
    for await (const message of await consumer.fetch({ max_messages: count, expires: 5_000 })) {
      expect(message.subject).toBe('remit.audit.acme.issuer.decision');
      const text = new TextDecoder().decode(message.data);
      const event = conform(siemMessage, parseJsonStrict(text));
      expect(event.type).toBe('dev.remit.audit.decision.v1');
      numbers.push(event.data.record.producer.n);
      await message.ackAck();
      if (numbers.length === count) break;
    }
    await nc.close();
    return numbers;
  };
  expect(await read(2)).toEqual([1, 2]);
  await service.send([byIssuer(4)]);
  expect(await read(2)).toEqual([3, 4]);
});

test('a slow SIEM holds up nothing: the ledger has what the SIEM has not read', async () => {
  await using service = await testService();
  const marked = service.marked('boot1', 5);
  await service.send([1, 2, 3, 4, 5].map(byIssuer));
  await marked;
  const rows = await service.sql('select seq from records');
  expect(rows).toHaveLength(5);
});

test('a SIEM makes no consumer, reads no other’s, and publishes no record', async () => {
  await using service = await testService();
  const { infra } = service;
  const nc = await connectSiem(infra.natsUrl, infra.creds('siem').seed);
  const denied: string[] = [];
  void (async () => {
    for await (const status of nc.status()) {
      if (status.permissionContext) denied.push(status.permissionContext.subject);
    }
  })();
  const forbidden = [
    'JS.remit.API.CONSUMER.CREATE.AUDIT.other',
    'JS.remit.API.CONSUMER.MSG.NEXT.AUDIT.ingest',
    'JS.remit.API.STREAM.INFO.AUDIT',
    'JS.remit.API.STREAM.PURGE.AUDIT',
    '$JS.API.CONSUMER.MSG.NEXT.AUDIT.siem',
    '$JS.ACK.AUDIT.ingest.1.1.1.1.1',
    'remit.audit.acme.issuer.decision',
    'remit.audit-mark.acme.issuer',
  ];
  for (const subject of forbidden) nc.publish(subject, byIssuer(1).data);
  await nc.flush();
  await expect.poll(() => denied.toSorted()).toEqual(forbidden.toSorted());
  await nc.close();

  const { user, seed } = infra.creds('issuer');
  const probe = await connectBus({ url: infra.natsUrl, user, seed, name: 'probe' });
  await probe.flush();
  await probe.close();
  expect(await service.sql('select seq from records')).toEqual([]);
});
