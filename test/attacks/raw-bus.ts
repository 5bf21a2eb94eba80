import { setImmediate } from 'node:timers/promises';
import type { Credentials, TestInfra } from '@remit/testkit';
import { connect, Events, type Msg, type NatsConnection, nkeyAuthenticator } from 'nats';

/** A connection as an attacker would make it: any client, real credentials, no manners. */
export type RawConnection = AsyncDisposable & {
  readonly nc: NatsConnection;
  /** Publishes and says whether the server refused it. */
  publish(subject: string, text?: string, reply?: string): Promise<'sent' | 'refused'>;
  /** Subscribes and says whether the server refused it. */
  subscribe(subject: string, queue?: string): Promise<'subscribed' | 'refused'>;
  /** Everything that has arrived since, as `subject text`. */
  readonly received: string[];
  /** Asks and gives the answer's text. */
  request(subject: string, text?: string): Promise<string>;
  /** How often the connection was lost. */
  readonly disconnects: () => number;
};

export async function rawConnection(
  infra: TestInfra,
  { user, seed }: Credentials,
): Promise<RawConnection> {
  const nc = await connect({
    servers: infra.natsUrl,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    inboxPrefix: `_INBOX_${user}`,
    reconnect: false,
    timeout: 5000,
  });
  const errors: string[] = [];
  const received: string[] = [];
  let disconnects = 0;
  const follow = async (): Promise<void> => {
    for await (const status of nc.status()) {
      if (status.type === Events.Disconnect) disconnects++;
      if (status.type === Events.Error) errors.push(JSON.stringify(status.data));
    }
  };
  void follow();

  // The server answers in order: once the PONG is here, so is the refusal of what went before.
  const refusedMeanwhile = async (act: () => void): Promise<boolean> => {
    const before = errors.length;
    act();
    await nc.flush();
    await setImmediate();
    return errors.length > before;
  };
  return {
    nc,
    received,
    async publish(subject, text = 'x', reply) {
      const options = reply === undefined ? {} : { reply };
      const data = new TextEncoder().encode(text);
      return (await refusedMeanwhile(() => nc.publish(subject, data, options)))
        ? 'refused'
        : 'sent';
    },
    async subscribe(subject, queue) {
      let refused = false;
      const callback = (error: Error | null, message: Msg): void => {
        if (error) refused = true;
        else received.push(`${message.subject} ${message.string()}`);
      };
      const options = queue === undefined ? { callback } : { callback, queue };
      const also = await refusedMeanwhile(() => nc.subscribe(subject, options));
      return refused || also ? 'refused' : 'subscribed';
    },
    async request(subject, text = 'x') {
      const answer = await nc.request(subject, new TextEncoder().encode(text), { timeout: 2000 });
      return answer.string();
    },
    disconnects: () => disconnects,
    [Symbol.asyncDispose]: () => nc.close(),
  };
}
