import { type TestInfra, testInfra } from '@remit/testkit';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RawConnection, rawConnection } from './raw-bus.ts';

// Real nats-server, the configuration that production runs, attackers with real credentials. Each
// refusal goes red when its subject is put on the user's allow-list in infra/nats/permissions.ts.

let infra: TestInfra;
const open: RawConnection[] = [];

const attackers = new Map<string, Promise<RawConnection>>();
/** One connection per attacker for all that is only refused. */
const attacker = (
  user: string,
  connectAs: () => Promise<RawConnection>,
): Promise<RawConnection> => {
  const known = attackers.get(user) ?? connectAs();
  attackers.set(user, known);
  return known;
};

const service = async (user: string): Promise<RawConnection> => {
  const connection = await rawConnection(infra, infra.creds(user));
  open.push(connection);
  return connection;
};
const pep = async (tenant: string, name: string): Promise<RawConnection> => {
  const connection = await rawConnection(infra, infra.pepCreds(tenant, name));
  open.push(connection);
  return connection;
};

beforeAll(async () => {
  infra = await testInfra();
  const audit = await service('audit');
  const jsm = await audit.nc.jetstreamManager({ checkAPI: false });
  await jsm.streams.add({ name: 'AUDIT', subjects: ['remit.audit.*.*.*'] });
});

afterAll(async () => {
  await Promise.all(open.map((connection) => connection[Symbol.asyncDispose]()));
  await infra[Symbol.asyncDispose]();
});

describe('a PEP', () => {
  test.each([
    'remit.revocation.acme',
    'remit.revocation.globex',
    'remit.beat.revocation.0',
    'remit.beat.registry',
    'remit.audit-mark.acme.erp-1',
    'remit.policy.acme',
    'remit.registry.acme.user',
    'remit.checkpoint.acme',
    'remit.audit.acme.erp-2.decision',
    'remit.audit.globex.erp-1.decision',
    'remit.audit.acme.issuer.token_issued',
    'remit.rpc.pdp.mint.acme.erp-1',
    'remit.rpc.revocation.revoke.acme.erp-1',
    'remit.rpc.revocation.register.acme.erp-1',
    'remit.rpc.registry.lookup.acme.erp-1',
    'remit.rpc.revocation.head.acme.erp-2',
    'remit.rpc.revocation.head.globex.erp-1',
    'remit.rpc.revocation.claim.acme.erp-2',
    'remit.rpc.revocation.claim.globex.erp-1',
    'remit.rpc.revocation.consume.acme.erp-2',
    'remit.rpc.revocation.consume.globex.erp-1',
    'remit.rpc.revocation.reserve.acme.erp-2',
    'remit.rpc.revocation.reserve.globex.erp-1',
    'remit.rpc.revocation.commit.acme.erp-2',
    'remit.rpc.revocation.commit.globex.erp-1',
    'remit.rpc.revocation.release.acme.erp-2',
    'remit.rpc.revocation.release.globex.erp-1',
    '_R.erp-2.revocation.i.r',
    '_R_.forged',
    '_INBOX_erp-2.forged',
    '_INBOX_issuer.forged',
    '$JS.API.STREAM.INFO.AUDIT',
    '$JS.API.STREAM.DELETE.AUDIT',
    '$JS.API.CONSUMER.CREATE.AUDIT.mine',
    '$JS.ACK.AUDIT.ingest.1.1.1.1.1',
    '$SRV.PING',
    '$SYS.REQ.SERVER.PING',
  ])('may not publish on %s', async (subject) => {
    const erp = await attacker('erp-1', () => pep('acme', 'erp-1'));
    expect(await erp.publish(subject)).toBe('refused');
  });

  test.each([
    '>',
    'remit.>',
    'remit.revocation.*',
    'remit.revocation.globex',
    'remit.beat.revocation.*',
    'remit.audit-mark.acme.erp-2',
    'remit.audit-mark.globex.erp-1',
    'remit.audit.acme.erp-1.*',
    'remit.audit.>',
    'remit.policy.acme',
    'remit.registry.acme.*',
    'remit.checkpoint.acme',
    'remit.rpc.revocation.*.*.*',
    '_R.>',
    '_R.erp-2.>',
    '_R_.>',
    '_INBOX.>',
    '_INBOX_erp-2.>',
    '_INBOX_issuer.>',
    '$SRV.>',
    '$JS.>',
    '$SYS.>',
  ])('may not subscribe to %s, in a queue group neither', async (subject) => {
    const erp = await attacker('erp-1', () => pep('acme', 'erp-1'));
    expect(await erp.subscribe(subject)).toBe('refused');
    expect(await erp.subscribe(subject, 'revocation')).toBe('refused');
  });

  test('hears its tenant, its shard and its own marks, and nothing of another tenant', async () => {
    const [erp, other] = [await pep('acme', 'erp-1'), await pep('globex', 'erp-1')];
    const [revocation, audit] = [await service('revocation'), await service('audit')];
    expect(await erp.subscribe('remit.revocation.acme')).toBe('subscribed');
    expect(await erp.subscribe('remit.beat.revocation.32')).toBe('subscribed');
    expect(await erp.subscribe('remit.audit-mark.acme.erp-1')).toBe('subscribed');
    expect(await other.subscribe('remit.revocation.globex')).toBe('subscribed');

    await revocation.publish('remit.revocation.acme', 'for acme');
    await revocation.publish('remit.beat.revocation.32', 'beat');
    await audit.publish('remit.audit-mark.acme.erp-1', 'mark');
    await revocation.publish('remit.revocation.globex', 'for globex');
    await arrived(other, 'remit.revocation.globex for globex');
    await arrived(erp, 'remit.audit-mark.acme.erp-1 mark');
    expect(erp.received.toSorted()).toEqual([
      'remit.audit-mark.acme.erp-1 mark',
      'remit.beat.revocation.32 beat',
      'remit.revocation.acme for acme',
    ]);
    expect(other.received).toEqual(['remit.revocation.globex for globex']);
  });

  test('is answered, and nobody else reads the answer', async () => {
    const [erp, neighbour, stranger] = [
      await pep('acme', 'erp-1'),
      await pep('acme', 'erp-2'),
      await service('issuer'),
    ];
    const revocation = await service('revocation');
    for (const listener of [neighbour, stranger]) {
      await listener.subscribe(`_INBOX_${listener === neighbour ? 'erp-2' : 'issuer'}.>`);
      await listener.subscribe(`_R.${listener === neighbour ? 'erp-2' : 'issuer'}.>`);
    }
    revocation.nc.subscribe('remit.rpc.revocation.*.*.*', {
      queue: 'revocation',
      callback: (_error, message) => message.respond(new TextEncoder().encode('seq 7')),
    });
    await revocation.nc.flush();
    expect(await erp.request('remit.rpc.revocation.head.acme.erp-1')).toBe('seq 7');
    await neighbour.nc.flush();
    await stranger.nc.flush();
    expect(neighbour.received).toEqual([]);
    expect(stranger.received).toEqual([]);
  });

  // The server delivers to `reply` inside the sender's account without asking for permissions. Goes
  // red when two PEPs of a tenant share an account.
  test.each([
    'remit.revocation.acme',
    'remit.audit-mark.acme.erp-2',
    '_INBOX_erp-2.answer',
    '_R.erp-2.revocation.i.r',
    'remit.revocation.globex',
    '_R.issuer.revocation.i.r',
    '_INBOX_issuer.answer',
    '$SRV.PING',
  ])('can not place the acknowledgement of a record on %s', async (reply) => {
    const erp = await pep('acme', 'erp-1');
    const [neighbour, stranger, issuer] = [
      await pep('acme', 'erp-2'),
      await pep('globex', 'erp-1'),
      await service('issuer'),
    ];
    await listenEverywhere(neighbour, 'acme', 'erp-2');
    await listenEverywhere(stranger, 'globex', 'erp-1');
    await listenEverywhere(issuer, '*', 'issuer');
    await issuer.subscribe('$SRV.PING');

    expect(await erp.publish('remit.audit.acme.erp-1.decision', '{}', reply)).toBe('sent');
    // The record itself is taken; its acknowledgement must have gone nowhere else by then.
    const acknowledged = await erp.request('remit.audit.acme.erp-1.decision', '{}');
    expect(JSON.parse(acknowledged)).toMatchObject({ stream: 'AUDIT' });
    for (const listener of [neighbour, stranger, issuer]) await listener.nc.flush();
    expect([...neighbour.received, ...stranger.received, ...issuer.received]).toEqual([]);
  });
});

describe('a service', () => {
  test.each([
    ['issuer', 'remit.revocation.acme'],
    ['issuer', 'remit.rpc.pdp.mint.acme.pdp'],
    ['issuer', 'remit.rpc.revocation.claim.acme.issuer'],
    ['issuer', 'remit.rpc.revocation.consume.acme.issuer'],
    ['issuer', 'remit.rpc.revocation.reserve.acme.issuer'],
    ['issuer', 'remit.rpc.revocation.consume.acme.erp-1'],
    ['issuer', 'remit.audit.acme.pdp.decision'],
    ['pdp', 'remit.revocation.acme'],
    ['pdp', 'remit.beat.registry'],
    ['pdp', 'remit.registry.acme.user'],
    ['pdp', '_R.issuer.revocation.i.r'],
    ['registry', 'remit.policy.acme'],
    ['registry', 'remit.revocation.acme'],
    ['registry', '$JS.API.STREAM.DELETE.REGISTRY'],
    ['registry', '$JS.API.STREAM.CREATE.AUDIT'],
    ['revocation', 'remit.rpc.pdp.mint.acme.revocation'],
    ['revocation', 'remit.audit-mark.acme.erp-1'],
    ['revocation', '$JS.API.STREAM.PURGE.AUDIT'],
    ['audit', 'remit.revocation.acme'],
    ['audit', 'remit.audit.acme.erp-1.decision'],
    ['audit', '$JS.API.STREAM.DELETE.AUDIT'],
    ['audit', '$JS.API.STREAM.MSG.DELETE.AUDIT'],
    ['siem', '$JS.API.STREAM.DELETE.AUDIT'],
    ['siem', 'JS.remit.API.STREAM.DELETE.AUDIT'],
    ['siem', 'JS.remit.API.CONSUMER.CREATE.AUDIT.other'],
    ['siem', 'JS.remit.API.CONSUMER.MSG.NEXT.AUDIT.ingest'],
    ['siem', '$JS.ACK.AUDIT.ingest.1.1.1.1.1'],
    ['siem', 'remit.audit.acme.erp-1.decision'],
    ['operator', 'remit.revocation.acme'],
    ['operator', 'remit.rpc.revocation.consume.acme.erp-1'],
    ['operator', 'remit.audit.acme.operator.decision'],
    ['operator', '$JS.API.STREAM.INFO.AUDIT'],
  ])('%s may not publish on %s', async (user, subject) => {
    const insider = await attacker(user, () => service(user));
    expect(await insider.publish(subject)).toBe('refused');
  });

  test.each([
    ['pdp', 'remit.rpc.registry.*.*.*', 'registry'],
    ['pdp', 'remit.rpc.pdp.*.*.*', 'eavesdrop'],
    ['pdp', 'remit.rpc.pdp.*.*.*', undefined],
    ['issuer', '_R.>', undefined],
    ['issuer', '_R.pdp.>', undefined],
    ['issuer', '_INBOX.>', undefined],
    ['issuer', 'remit.audit.>', undefined],
    ['siem', 'remit.audit.>', undefined],
    ['operator', '_R.>', undefined],
    ['operator', 'remit.rpc.>', undefined],
  ])('%s may not subscribe to %s (queue %s)', async (user, subject, queue) => {
    const insider = await attacker(user, () => service(user));
    expect(await insider.subscribe(subject, queue)).toBe('refused');
  });
});

test('a stranger without a key, or with a key that is not known, is not let in', async () => {
  await using elsewhere = await testInfra({ nats: 'own', peps: { initech: ['erp-9'] } });
  await expect(rawConnection(infra, elsewhere.pepCreds('initech', 'erp-9'))).rejects.toThrow(
    'Authorization Violation',
  );
  await expect(connect({ servers: infra.natsUrl })).rejects.toThrow('Authorization Violation');
});

test('a tenant is put on the running bus by SIGHUP, and no connection is dropped', async () => {
  await using own = await testInfra({ nats: 'own' });
  const before = await Promise.all([
    rawConnection(own, own.creds('revocation')),
    rawConnection(own, own.pepCreds('acme', 'erp-1')),
    rawConnection(own, own.creds('siem')),
  ]);
  const [revocation, erp] = before;
  await erp.subscribe('remit.revocation.acme');

  await own.addPeps({ initech: ['erp-9'] });
  await using added = await rawConnection(own, own.pepCreds('initech', 'erp-9'));
  expect(await added.subscribe('remit.revocation.initech')).toBe('subscribed');
  await revocation.publish('remit.revocation.initech', 'welcome');
  await revocation.publish('remit.revocation.acme', 'still here');
  await arrived(added, 'remit.revocation.initech welcome');
  await arrived(erp, 'remit.revocation.acme still here');
  // Red when nats-server is told once only: it then knows the account, but not what it imports.
  revocation.nc.subscribe('remit.rpc.revocation.head.*.*', {
    queue: 'revocation',
    callback: (_error, message) => void message.respond(message.data),
  });
  await revocation.nc.flush();
  expect(await added.request('remit.rpc.revocation.head.initech.erp-9', 'heard')).toBe('heard');
  expect(before.map((connection) => connection.disconnects())).toEqual([0, 0, 0]);
  await Promise.all(before.map((connection) => connection[Symbol.asyncDispose]()));
});

async function arrived(connection: RawConnection, expected: string): Promise<void> {
  await expect.poll(() => connection.received, { timeout: 5000 }).toContain(expected);
}

async function listenEverywhere(
  connection: RawConnection,
  tenant: string,
  user: string,
): Promise<void> {
  for (const subject of [
    `remit.revocation.${tenant}`,
    `remit.audit-mark.${tenant}.${user}`,
    `_INBOX_${user}.>`,
    `_R.${user}.>`,
  ]) {
    expect(await connection.subscribe(subject)).toBe('subscribed');
  }
}
