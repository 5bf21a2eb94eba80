import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { BusMembers } from '@remit/stack';
import type { TestServers } from './servers.ts';

/** How a worker finds the servers of its run. */
export type BrokerAddress = { url: string; dir: string };
export type Broker = { readonly address: BrokerAddress; close(): Promise<void> };

/**
 * Lets the workers of a test run share its servers: they ask over loopback HTTP, and the servers start
 * when the first of them asks. A run of pure tests starts none.
 */
export async function startBroker(servers: TestServers): Promise<Broker> {
  const secret = randomBytes(16).toString('hex');
  const answer = async (request: IncomingMessage): Promise<unknown> => {
    const [, given, what, name = ''] = (request.url ?? '').split('/');
    if (given !== secret) throw new Error('not a worker of this run');
    if (what === 'bus') return servers.bus();
    if (what === 'admit') {
      const members = JSON.parse(decodeURIComponent(name)) as BusMembers;
      return servers.admitToBus(members).then(() => ({}));
    }
    if (what === 'clear') return servers.clearBus().then(() => ({}));
    if (what === 'database') return servers.database(decodeURIComponent(name));
    if (what === 'drop') return servers.dropDatabase(decodeURIComponent(name)).then(() => ({}));
    throw new Error(`the broker gives no ${what}`);
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      response.end(JSON.stringify(await answer(request)));
    } catch (error) {
      response.statusCode = 500;
      response.end(error instanceof Error ? error.message : String(error));
    }
  };
  const server = createServer((request, response) => {
    void handle(request, response);
  });
  // Migrating a template may take longer than the default between two requests of one connection.
  server.keepAliveTimeout = 1000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return {
    address: { url: `http://127.0.0.1:${address.port}/${secret}`, dir: servers.dir },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await servers.close();
    },
  };
}

/** The servers as a worker sees them: it asks the broker, and never closes them. */
export function brokeredServers({ url, dir }: BrokerAddress): TestServers {
  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${url}/${path}`, { method: 'POST' });
    const body = await response.text();
    if (!response.ok) throw new Error(body);
    return JSON.parse(body) as T;
  };
  return {
    dir,
    bus: () => ask('bus'),
    admitToBus: (members) => ask(`admit/${encodeURIComponent(JSON.stringify(members))}`),
    clearBus: () => ask('clear'),
    database: (service) => ask(`database/${encodeURIComponent(service)}`),
    dropDatabase: (name) => ask(`drop/${encodeURIComponent(name)}`),
    close: () => Promise.resolve(),
  };
}
