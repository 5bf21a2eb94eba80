import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { forward, readRoutes } from './forward.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** Says its name to whoever connects, then what it was sent. */
async function named(name: string, host: string, port = 0): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.write(`${name}:`);
    socket.pipe(socket);
  });
  servers.push(server);
  server.listen(port, host);
  await once(server, 'listening');
  return portOf(server);
}

async function edge(targetPort: number, addresses: string[]): Promise<number> {
  const server = await forward(
    { port: 0, host: 'service', targetPort },
    { listenHost: '127.0.0.1', resolve: () => Promise.resolve(addresses) },
  );
  servers.push(server);
  return portOf(server);
}

async function say(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.end(text);
  let said = '';
  for await (const chunk of socket) said += String(chunk);
  return said;
}

describe('the edge', () => {
  test('carries bytes both ways, to one replica after the other', async () => {
    const port = await named('a', '127.0.0.1');
    await named('b', '127.0.0.2', port);
    const at = await edge(port, ['127.0.0.1', '127.0.0.2']);
    const said = [await say(at, 'x'), await say(at, 'y'), await say(at, 'z')];
    expect(said).toEqual(['a:x', 'b:y', 'a:z']);
  });

  test('passes over a replica that does not answer', async () => {
    const port = await named('b', '127.0.0.2');
    const at = await edge(port, ['127.0.0.1', '127.0.0.2']);
    expect(await say(at, 'x')).toBe('b:x');
    expect(await say(at, 'y')).toBe('b:y');
  });

  test('ends the connection when nobody answers', async () => {
    const port = await named('a', '127.0.0.2');
    const at = await edge(port, ['127.0.0.1']);
    expect(await say(at, 'x').catch((error: NodeJS.ErrnoException) => error.code ?? '')).toMatch(
      /^(|ECONNRESET|EPIPE)$/,
    );
  });

  test('reads routes and refuses what is none', () => {
    expect(readRoutes('7401=issuer:7400,7412=erp-1:7412')).toEqual([
      { port: 7401, host: 'issuer', targetPort: 7400 },
      { port: 7412, host: 'erp-1', targetPort: 7412 },
    ]);
    expect(() => readRoutes('7401=issuer')).toThrow('7401=issuer is not PORT=HOST:PORT');
  });
});
