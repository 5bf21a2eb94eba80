import { lookup } from 'node:dns/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Where connections to a port go: one host name with as many addresses as there are replicas. */
export type Route = { port: number; host: string; targetPort: number };

const CONNECT_TIMEOUT_MS = 2_000;

/** Reads `7401=issuer:7400,…`. Throws RangeError for a text that is none. */
export function readRoutes(text: string): Route[] {
  return text.split(',').map((each) => {
    const match = /^(\d{1,5})=([a-z0-9.-]+):(\d{1,5})$/.exec(each.trim());
    if (match === null) throw new RangeError(`${each} is not PORT=HOST:PORT`);
    return { port: Number(match[1]), host: match[2] as string, targetPort: Number(match[3]) };
  });
}

/**
 * Stands where a load balancer stands in production: forwards each TCP connection to one of the
 * addresses that the route's host has at that moment, in turn; one that can't be reached is passed
 * over. It reads nothing of what it forwards. Resolves when it listens.
 */
export async function forward(
  route: Route,
  { listenHost, resolve = addressesOf }: { listenHost: string; resolve?: typeof addressesOf },
): Promise<Server> {
  let turn = 0;
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    client.on('error', () => client.destroy());
    open(route, turn++, resolve).then(
      (target) => join(client, target),
      () => client.destroy(),
    );
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(route.port, listenHost, listening);
  });
  return server;
}

async function open(
  { host, targetPort }: Route,
  turn: number,
  resolve: typeof addressesOf,
): Promise<Socket> {
  const addresses = await resolve(host);
  for (let i = 0; i < addresses.length; i++) {
    const address = addresses[(turn + i) % addresses.length] as string;
    const socket = await reach(address, targetPort).catch(() => undefined);
    if (socket) return socket;
  }
  throw new Error(`nobody answers as ${host}`);
}

function reach(host: string, port: number): Promise<Socket> {
  return new Promise((connected, failed) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    const give = (error: Error): void => {
      socket.destroy();
      failed(error);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => give(new Error('no answer')));
    socket.once('error', give);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.off('error', give);
      connected(socket);
    });
  });
}

function join(client: Socket, target: Socket): void {
  const both = [client, target];
  for (const socket of both) {
    socket.setNoDelay(true);
    socket.on('error', () => both.forEach((each) => each.destroy()));
    socket.on('close', () => both.forEach((each) => each.destroy()));
  }
  client.pipe(target);
  target.pipe(client);
}

async function addressesOf(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true, family: 4 });
  return found.map(({ address }) => address).toSorted();
}
