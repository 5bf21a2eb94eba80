import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { type BusMembers, generateBus } from '@remit/stack';

/** Somebody else's nats-server: where it listens, and the folder with the configuration that it reads. */
export type GivenBusAddress = { url: string; dir: string };

/** Lends a nats-server that somebody else started to test files, one after the other. */
export type GivenBus = {
  /** Makes sure that these are on it, beside those who are. */
  admit(members: BusMembers): Promise<void>;
  /** Deletes all streams. */
  clear(): Promise<void>;
};

const TIMEOUT_MS = 10_000;

/**
 * The server keeps its accounts from file to file; who is missing is written into the folder that it
 * reads. It is asked on its system account to read that again and to delete streams, so it may run
 * anywhere. Throws Error with the server's own words when it refuses.
 */
export function givenBus({ url, dir }: GivenBusAddress): GivenBus {
  const known: { peps: Record<string, readonly string[]>; siems: readonly string[] } = {
    peps: {},
    siems: [],
  };
  const ask = async (subjectOf: (serverId: string) => string): Promise<void> => {
    const seed = readFileSync(join(dir, 'seeds', 'SYS', 'sys.seed'));
    const connection = await connect({ servers: url, authenticator: nkeyAuthenticator(seed) });
    try {
      const subject = subjectOf(connection.info?.server_id ?? '');
      const answer = await connection.request(subject, '{}', { timeout: TIMEOUT_MS });
      const { error } = answer.json<{ error?: { description?: string } }>();
      if (error) throw new Error(`the given nats-server refused ${subject}: ${error.description}`);
    } finally {
      await connection.close();
    }
  };
  return {
    async admit({ peps, siems }) {
      const before = JSON.stringify(known);
      for (const [tenant, names] of Object.entries(peps)) {
        known.peps[tenant] = [...new Set([...(known.peps[tenant] ?? []), ...names])];
      }
      known.siems = [...new Set([...known.siems, ...siems])];
      if (JSON.stringify(known) === before) return;
      await generateBus(dir, known);
      // Twice for new accounts, as the stack does.
      await ask((serverId) => `$SYS.REQ.SERVER.${serverId}.RELOAD`);
      await ask((serverId) => `$SYS.REQ.SERVER.${serverId}.RELOAD`);
    },
    clear: () => ask(() => '$JS.API.ACCOUNT.PURGE.REMIT'),
  };
}
