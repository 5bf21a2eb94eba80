import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';

type Config = { accounts: Record<string, unknown> };

/** Somebody else's nats-server: where it listens, and the folder with the configuration that it reads. */
export type GivenBusAddress = { url: string; dir: string };

/** Puts the accounts of test files on a nats-server that somebody else started, and takes them off. */
export type GivenBus = {
  readonly url: string;
  /** Adds what `nats.json` in this folder holds, or replaces what was added from it before. */
  attach(dir: string): Promise<void>;
  /** Takes it off again; its connections are closed. */
  detach(dir: string): Promise<void>;
};

const RELOAD_TIMEOUT_MS = 10_000;

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
  const attached = new Map<string, { prefix: string; accounts: Record<string, unknown> }>();
  let turn: Promise<void> = Promise.resolve();

  const apply = async (): Promise<void> => {
    const accounts = Object.assign({}, original.accounts);
    for (const each of attached.values()) Object.assign(accounts, each.accounts);
    // Beside and moved, so that the server never reads half of it. It holds public keys only.
    writeFileSync(`${file}.new`, JSON.stringify({ ...original, accounts }), { mode: 0o644 });
    renameSync(`${file}.new`, file);
    await reload(url, seed);
  };
  const inTurn = (change: () => void): Promise<void> => {
    const mine = turn.then(() => {
      change();
      return apply();
    });
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
    detach: (from) => inTurn(() => attached.delete(from)),
  };
}

/** The accounts under new names, in what they export to and import from each other too. */
function prefixed(
  accounts: Record<string, unknown>,
  prefix: string,
  systemAccount: string,
): Record<string, unknown> {
  const renamed = (value: unknown, key: string): unknown => {
    if (key === 'account') return prefix + String(value);
    if (key === 'accounts') return (value as string[]).map((name) => prefix + name);
    if (Array.isArray(value)) return value.map((each) => renamed(each, ''));
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, renamed(of, name)]));
  };
  return Object.fromEntries(
    Object.entries(accounts)
      .filter(([name]) => name !== systemAccount)
      .map(([name, account]) => [prefix + name, renamed(account, '')]),
  );
}

/** Asks the server to read its configuration again, and waits until it has. */
async function reload(url: string, seed: Uint8Array): Promise<void> {
  const connection = await connect({ servers: url, authenticator: nkeyAuthenticator(seed) });
  try {
    const id = connection.info?.server_id ?? '';
    const answer = await connection.request(`$SYS.REQ.SERVER.${id}.RELOAD`, '{}', {
      timeout: RELOAD_TIMEOUT_MS,
    });
    const { error } = answer.json<{ error?: { description?: string } }>();
    if (error) throw new Error(`the given nats-server did not reload: ${error.description}`);
  } finally {
    await connection.close();
  }
}
