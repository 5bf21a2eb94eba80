import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';

type Config = { accounts: Record<string, object> };

/** Somebody else's nats-server: where it listens, and the folder with the configuration that it reads. */
export type GivenBusAddress = { url: string; dir: string };

/** Puts the accounts of test files on a nats-server that somebody else started, and takes them off. */
export type GivenBus = {
  readonly url: string;
  /** Adds what `nats.json` in this folder holds, or replaces what was added from it before. */
  attach(dir: string): Promise<void>;
  /** Deletes its streams and takes it off again; its connections are closed. */
  detach(dir: string): Promise<void>;
};

const TIMEOUT_MS = 10_000;
/** What databases and accounts of test runs begin with. */
export const RUN_PREFIX = 'remit_test_';

/**
 * Several test files share the server without meeting: each one's accounts, and by that its streams
 * and subjects, get a prefix of its own. The configuration is written into the folder that the server
 * reads, and the server is asked on its system account to read it again, so it may run anywhere.
 * Throws Error with the server's own words when it refuses.
 */
export function givenBus({ url, dir }: GivenBusAddress, run: string): GivenBus {
  const file = join(dir, 'nats.json');
  const seed = readFileSync(join(dir, 'seeds', 'SYS', 'sys.seed'));
  const original = JSON.parse(readFileSync(file, 'utf8')) as Config & { system_account: string };
  // What a run that was killed has left is not the server's own.
  const own = Object.fromEntries(
    Object.entries(original.accounts).filter(([name]) => !name.startsWith(RUN_PREFIX)),
  );
  const attached = new Map<string, { prefix: string; accounts: Record<string, object> }>();
  let turn: Promise<void> = Promise.resolve();

  const apply = async (): Promise<void> => {
    const accounts = { ...own };
    for (const each of attached.values()) Object.assign(accounts, each.accounts);
    // Beside and moved, so that the server never reads half of it. It holds public keys only.
    writeFileSync(`${file}.new`, JSON.stringify({ ...original, accounts }), { mode: 0o644 });
    renameSync(`${file}.new`, file);
    await asSystem((connection) =>
      ask(connection, `$SYS.REQ.SERVER.${connection.info?.server_id}.RELOAD`),
    );
  };
  const asSystem = async (act: (connection: NatsConnection) => Promise<void>): Promise<void> => {
    const connection = await connect({ servers: url, authenticator: nkeyAuthenticator(seed) });
    try {
      await act(connection);
    } finally {
      await connection.close();
    }
  };
  const inTurn = (change: () => void | Promise<void>): Promise<void> => {
    const mine = turn.then(change).then(apply);
    turn = mine.catch(() => undefined);
    return mine;
  };
  let files = 0;
  return {
    url,
    attach: (from) =>
      inTurn(() => {
        const config = JSON.parse(readFileSync(join(from, 'nats.json'), 'utf8')) as Config;
        const prefix = attached.get(from)?.prefix ?? `${run}_${++files}_`;
        attached.set(from, {
          prefix,
          accounts: prefixed(config.accounts, prefix, original.system_account),
        });
      }),
    detach: (from) =>
      inTurn(async () => {
        // An account that is gone would keep its streams, and their share of the store.
        for (const [name, account] of Object.entries(attached.get(from)?.accounts ?? {})) {
          if (!Object.hasOwn(account, 'jetstream')) continue;
          await asSystem((connection) => ask(connection, `$JS.API.ACCOUNT.PURGE.${name}`));
        }
        attached.delete(from);
      }),
  };
}

/** The accounts under new names, in what they export to and import from each other too. */
function prefixed(
  accounts: Record<string, object>,
  prefix: string,
  systemAccount: string,
): Record<string, object> {
  const within = (value: object): object =>
    Object.fromEntries(Object.entries(value).map(([name, of]) => [name, renamed(of, name)]));
  const renamed = (value: unknown, key: string): unknown => {
    if (key === 'account') return prefix + String(value);
    if (key === 'accounts') return (value as string[]).map((name) => prefix + name);
    if (Array.isArray(value)) return value.map((each) => renamed(each, ''));
    return value !== null && typeof value === 'object' ? within(value) : value;
  };
  return Object.fromEntries(
    Object.entries(accounts)
      .filter(([name]) => name !== systemAccount)
      .map(([name, account]) => [prefix + name, within(account)]),
  );
}

/** Asks the server on its system account. Throws Error with what it says is wrong. */
async function ask(connection: NatsConnection, subject: string): Promise<void> {
  const answer = await connection.request(subject, '{}', { timeout: TIMEOUT_MS });
  const { error } = answer.json<{ error?: { description?: string } }>();
  if (error) throw new Error(`the given nats-server refused ${subject}: ${error.description}`);
}
