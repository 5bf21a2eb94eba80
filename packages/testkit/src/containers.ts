import { PostgreSqlContainer } from '@testcontainers/postgresql';
import { GenericContainer, Wait } from 'testcontainers';

/** The images that docker-compose.yml runs. */
export const NATS_IMAGE = 'nats:2-alpine';
const POSTGRES_IMAGE = 'postgres:18';
const NATS_PORT = 4222;

/**
 * PostgreSQL in a container, fast instead of durable like the embedded one. `close` removes it: where
 * testcontainers' own reaper is switched off, nobody else would.
 */
export async function startPostgresContainer(): Promise<{
  superuserUrl(database?: string): string;
  close(): Promise<void>;
}> {
  const container = await new PostgreSqlContainer(POSTGRES_IMAGE)
    .withDatabase('postgres')
    .withUsername('postgres')
    .withTmpFs({ '/var/lib/postgresql': 'rw' })
    .withCommand(
      [
        'postgres',
        ...['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=300'],
      ].flatMap((each, index) => (index === 0 ? [each] : ['-c', each])),
    )
    .start();
  return {
    superuserUrl(database = 'postgres') {
      const url = new URL(container.getConnectionUri());
      url.pathname = `/${database}`;
      return url.href;
    },
    async close() {
      await container.stop({ removeVolumes: true });
    },
  };
}

/**
 * nats-server in a container with the configuration in `dir`. It is a plain container: the NATS module
 * of testcontainers always gives a user and a password, which nats-server refuses beside accounts.
 */
export async function startNatsContainer(options: { image: string; dir: string }): Promise<{
  url: string;
  port: number;
  reload(): Promise<void>;
  stop(): Promise<void>;
}> {
  const container = await new GenericContainer(options.image)
    .withBindMounts([{ source: options.dir, target: '/bus', mode: 'ro' }])
    .withCommand(['--config', '/bus/nats.json', '--store_dir', '/jetstream'])
    .withTmpFs({ '/jetstream': 'rw' })
    .withExposedPorts(NATS_PORT)
    .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
    .start();
  const port = container.getMappedPort(NATS_PORT);
  return {
    url: `nats://${container.getHost()}:${port}`,
    port,
    async reload() {
      await hangUp();
      await hangUp();
    },
    async stop() {
      await container.stop();
    },
  };

  /** Twice for new accounts, as the stack does. */
  async function hangUp(): Promise<void> {
    const log = await container.logs({ tail: 0 });
    const reloaded = new Promise<void>((resolve, reject) => {
      log.on('data', (line) => {
        if (String(line).includes('Reloaded server configuration')) resolve();
        if (String(line).includes('Failed to reload')) reject(new Error(String(line)));
      });
    });
    await container.exec(['kill', '-HUP', '1']);
    await reloaded;
  }
}
