import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { type TestInfra, testInfra } from '@remit/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, connectBus } from './bus.ts';
import { createSigner } from './signer.ts';
import { createVerifier } from './verifier.ts';

let infra: TestInfra;
let registry: Bus;
let operator: NatsConnection;

beforeAll(async () => {
  infra = await testInfra();
  registry = await connectBus({ url: infra.natsUrl, name: 'r', ...infra.creds('registry') });
  const signer = createSigner(infra.signer('registry-bus'));
  registry.serve(
    'registry',
    { body: (_context, { digest }) => ({ digest, text: '' }) },
    { signer },
  );
  registry.respondToMicro({ name: 'registry', version: '1.2.3', description: 'who is who' });
  await registry.flush();
  operator = await connect({
    servers: infra.natsUrl,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(infra.creds('operator').seed)),
    inboxPrefix: '_INBOX_operator',
  });
});
afterAll(async () => {
  await Promise.all([operator.close(), registry.close()]);
  await infra[Symbol.asyncDispose]();
});

const ask = async (subject: string): Promise<unknown> =>
  (await operator.request(subject, '', { timeout: 1_000 })).json();

describe('service discovery', () => {
  it('answers PING to everybody, by name and by id', async () => {
    const answer = {
      type: 'io.nats.micro.v1.ping_response',
      name: 'registry',
      id: registry.instance,
      version: '1.2.3',
      metadata: {},
    };
    expect(await ask('$SRV.PING')).toEqual(answer);
    expect(await ask('$SRV.PING.registry')).toEqual(answer);
    expect(await ask(`$SRV.PING.registry.${registry.instance}`)).toEqual(answer);
    await expect(ask('$SRV.PING.registry.other')).rejects.toThrow();
  });

  it('lists the endpoints in INFO and what they did in STATS', async () => {
    await using pdp = await connectBus({ url: infra.natsUrl, name: 'p', ...infra.creds('pdp') });
    const verifier = createVerifier(infra.trust().keys.registry);
    await pdp.call('registry.body', 'acme', { digest: 'x' }, { verifier });
    expect(await ask('$SRV.INFO.registry')).toEqual({
      type: 'io.nats.micro.v1.info_response',
      name: 'registry',
      id: registry.instance,
      version: '1.2.3',
      metadata: {},
      description: 'who is who',
      endpoints: [
        {
          name: 'body',
          subject: 'remit.rpc.registry.body.*.*',
          queue_group: 'registry',
          metadata: {},
        },
      ],
    });
    expect(await ask('$SRV.STATS.registry')).toMatchObject({
      type: 'io.nats.micro.v1.stats_response',
      started: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T/),
      endpoints: [{ name: 'body', num_requests: 1, num_errors: 0 }],
    });
  });

  // Answered on the beat's subject when the test of `reply` in respondToMicro() is taken out.
  it('puts no answer on a subject that is no inbox of the operator', async () => {
    await using revocation = await connectBus({
      url: infra.natsUrl,
      name: 'v',
      ...infra.creds('revocation'),
    });
    const heard: string[] = [];
    revocation.subscribe('remit.beat.registry', (subject) => heard.push(subject));
    await revocation.flush();
    operator.publish('$SRV.PING', '', { reply: 'remit.beat.registry' });
    await operator.flush();
    await ask('$SRV.PING');
    await revocation.flush();
    expect(heard).toEqual([]);
  });
});
