import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { assertPortFree, freePort } from './ports.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

let echo: Server;
let proxy: TcpProxy;
const sockets: Socket[] = [];

beforeEach(async () => {
  echo = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await startTcpProxy({ target: { port: (echo.address() as AddressInfo).port } });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await proxy.close();
  await new Promise<void>((resolve) => echo.close(() => resolve()));
});

const dial = async (): Promise<Socket> => {
  const socket = connect(proxy.port, '127.0.0.1');
  socket.on('error', () => {});
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
};
const say = async (socket: Socket, text: string): Promise<string> => {
  socket.write(text);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString();
};

test('carries bytes both ways', async () => {
  expect(await say(await dial(), 'hello')).toBe('hello');
});

test('a cut ends connections and refuses new ones, a heal lets them in again', async () => {
  const before = await dial();
  await say(before, 'up');
  proxy.cut();
  await once(before, 'close');
  await once(await dial(), 'close');
  proxy.heal();
  expect(await say(await dial(), 'again')).toBe('again');
});

test('a frozen link stays open and carries nothing, then everything in order', async () => {
  const socket = await dial();
  await say(socket, 'up');
  proxy.freeze();
  let got = '';
  socket.on('data', (chunk) => {
    got += chunk.toString();
  });
  socket.write('one ');
  socket.write('two');
  const other = await dial();
  expect([got, socket.readyState, other.readyState]).toEqual(['', 'open', 'open']);
  proxy.heal();
  await expect.poll(() => got).toBe('one two');
});

test('a link that is frozen one way still carries the other', async () => {
  const socket = await dial();
  await say(socket, 'up');
  let heard = '';
  echo.on('connection', (each) => each.on('data', (chunk) => (heard += String(chunk))));
  const other = await dial();
  await say(other, 'up');
  let got = '';
  other.on('data', (chunk) => {
    got += String(chunk);
  });
  proxy.freeze('in');
  other.write('heard');
  await expect.poll(() => heard).toBe('upheard');
  expect(got).toBe('');
  proxy.heal();
  await expect.poll(() => got).toBe('heard');
});

test('a tap sees each chunk before it is carried on', async () => {
  const seen: string[] = [];
  const tapped = await startTcpProxy({
    target: { port: (echo.address() as AddressInfo).port },
    tap: (connection, from, chunk) => seen.push(`${connection} ${from} ${String(chunk)}`),
  });
  try {
    const socket = connect(tapped.port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
    expect(await say(socket, 'hello')).toBe('hello');
    expect(seen).toEqual(['1 client hello', '1 target hello']);
  } finally {
    for (const socket of sockets.splice(0)) socket.destroy();
    await tapped.close();
  }
});

test('a delay holds each chunk back for that long', async () => {
  const socket = await dial();
  await say(socket, 'up');
  proxy.delay(60);
  const start = performance.now();
  expect(await say(socket, 'slow')).toBe('slow');
  // There and back; timers may fire a millisecond early.
  expect(performance.now() - start).toBeGreaterThanOrEqual(118);
});

test('a port that is taken is named together with who needs it', async () => {
  await expect(assertPortFree(proxy.port, 'nats')).rejects.toMatchObject({ code: 'PORT_TAKEN' });
  await expect(assertPortFree(proxy.port, 'nats')).rejects.toThrow(
    `port ${proxy.port} on 127.0.0.1, which nats needs, is taken`,
  );
  await expect(assertPortFree(await freePort(), 'nats')).resolves.toBeUndefined();
});
