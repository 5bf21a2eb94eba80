import { createServer } from 'node:net';
import { StackError } from '../error.ts';

/**
 * A TCP port on 127.0.0.1 that was free a moment ago, chosen by the kernel.
 * Does not reserve it: whoever starts a server on it must be ready to ask again.
 */
export async function freePort(): Promise<number> {
  const { port, close } = await listen(0);
  await close();
  return port;
}

/**
 * Checks that nobody listens on a fixed port of 127.0.0.1.
 * Throws StackError `PORT_TAKEN` with the name of who needs it.
 */
export async function assertPortFree(port: number, neededBy: string): Promise<void> {
  try {
    const { close } = await listen(port);
    await close();
  } catch (cause) {
    throw new StackError(
      'PORT_TAKEN',
      `port ${port} on 127.0.0.1, which ${neededBy} needs, is taken or not permitted: stop the program that holds it and run the command again.`,
      { details: { port, neededBy }, cause },
    );
  }
}

async function listen(port: number): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return {
    port: address.port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
