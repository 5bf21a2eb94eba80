import { connect, createServer, type Socket } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

export type TcpProxy = {
  readonly port: number;
  /** Ends every connection and refuses new ones until `heal`. */
  cut(): void;
  /**
   * Keeps every connection open but carries nothing any more until `heal`: a half-open link. `in`: only
   * what the target says is held back; `out`: only what the client says. Default both ways.
   */
  freeze(ways?: 'both' | 'in' | 'out'): void;
  /** Carries again; connections that `cut` ended stay ended. */
  heal(): void;
  /** Delays every chunk, both ways, by `delayMs` (default 0). */
  delay(delayMs: number): void;
  close(): Promise<void>;
};

/**
 * A TCP proxy on 127.0.0.1 in front of `target`, for faults between two processes: cut, half-open,
 * slow. Carries bytes unchanged and in order.
 */
export async function startTcpProxy(options: {
  target: { host?: string; port: number };
  port?: number;
  /**
   * Sees every chunk before it is carried on, with the number of its connection: for faults at the
   * moment when something certain is said. Must not throw, and not change the chunk.
   */
  tap?: (connection: number, from: 'client' | 'target', chunk: Buffer) => void;
}): Promise<TcpProxy> {
  const open = new Set<Socket>();
  const resumers = new Set<() => void>();
  let mode: 'carry' | 'cut' | 'frozen' = 'carry';
  let frozen: 'both' | 'in' | 'out' = 'both';
  let delayMs = 0;
  let connections = 0;

  const link = (connection: number, from: 'client' | 'target'): Transform =>
    new Transform({
      transform(chunk: Buffer, _encoding, done: TransformCallback) {
        const held = from === 'client' ? 'out' : 'in';
        const pass = (): void => {
          if (mode === 'frozen' && (frozen === 'both' || frozen === held)) resumers.add(pass);
          else done(null, chunk);
        };
        options.tap?.(connection, from, chunk);
        if (delayMs > 0) setTimeout(pass, delayMs);
        else pass();
      },
    });

  const server = createServer((client) => {
    if (mode === 'cut') {
      client.destroy();
      return;
    }
    const upstream = connect({
      host: options.target.host ?? '127.0.0.1',
      port: options.target.port,
    });
    const connection = ++connections;
    for (const [socket, other, from] of [
      [client, upstream, 'client'],
      [upstream, client, 'target'],
    ] as const) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
      socket.pipe(link(connection, from)).pipe(other);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');

  const endAll = (): void => {
    for (const socket of open) socket.destroy();
    resumers.clear();
  };
  return {
    port: address.port,
    cut() {
      mode = 'cut';
      endAll();
    },
    freeze(ways = 'both') {
      mode = 'frozen';
      frozen = ways;
    },
    heal() {
      mode = 'carry';
      const waiting = [...resumers];
      resumers.clear();
      for (const pass of waiting) pass();
    },
    delay(ms) {
      delayMs = ms;
    },
    async close() {
      endAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
