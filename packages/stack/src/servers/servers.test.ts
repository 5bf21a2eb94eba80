import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensureNatsServer } from '../binaries/nats-server.ts';
import { createSupervisor, type Supervisor } from '../process/supervisor.ts';
import { startNats } from './nats.ts';
import { reachableByOthers, startPostgres } from './postgres.ts';

let dir: string;
let supervisor: Supervisor;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'remit-servers-'));
  await chmod(dir, 0o711);
  supervisor = createSupervisor({ runDir: join(dir, 'run') });
});
afterAll(async () => {
  await supervisor.stopAll();
  await rm(dir, { recursive: true });
});

async function ask(connectionString: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return rows;
  } finally {
    await client.end();
  }
}

describe('PostgreSQL of our own', () => {
  test('asks everybody for a password, keeps what is committed, and never runs as root', async () => {
    const options = {
      supervisor,
      logFile: join(dir, 'pg.log'),
      dataDir: join(dir, 'postgres'),
      durability: 'full',
    } as const;
    const first = await startPostgres(options);
    const url = first.superuserUrl();
    expect(await ask(url, 'show fsync')).toEqual([{ fsync: 'on' }]);
    expect(await ask(url, 'show full_page_writes')).toEqual([{ full_page_writes: 'on' }]);
    expect(await ask(url, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    expect(await ask(url, 'show unix_socket_directories')).toEqual([
      { unix_socket_directories: '' },
    ]);
    const wrong = url.replace(/:[^:@]+@/, ':guess@');
    await expect(ask(wrong, 'select 1')).rejects.toThrow('password authentication failed');
    await expect(ask(url.replace(/:[^:@]+@/, '@'), 'select 1')).rejects.toThrow(/password/);
    expect(statSync(join(dir, 'postgres', 'superuser-password')).mode & 0o777).toBe(0o600);
    const status = readFileSync(`/proc/${first.process.pid}/status`, 'utf8');
    expect(/^Uid:\s+(\d+)/m.exec(status)?.[1]).not.toBe('0');

    await ask(url, 'create table kept as select 1 as n');
    await first.stop();
    const second = await startPostgres(options);
    expect(await ask(second.superuserUrl(), 'select n from kept')).toEqual([{ n: 1 }]);
    await second.stop();
  });

  test('a port that is taken meanwhile is said, and nothing keeps running', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const starting = startPostgres({
      supervisor,
      logFile: join(dir, 'taken.log'),
      port,
      durability: 'unsafe-for-tests',
    });
    await expect(starting).rejects.toMatchObject({ code: 'PROCESS_EXITED' });
    await expect(starting).rejects.toThrow('Address already in use');
    expect(supervisor.running()).toEqual([]);
    taken.close();
  });

  test('a private folder on the way is noticed, for nobody could not pass', async () => {
    await mkdir(join(dir, 'private', 'open'), { recursive: true });
    expect(reachableByOthers(join(dir, 'private', 'open'))).toBe(true);
    await chmod(join(dir, 'private'), 0o700);
    expect(reachableByOthers(join(dir, 'private', 'open'))).toBe(false);
    expect(reachableByOthers(join(dir, 'private', 'not yet there'))).toBe(false);
  });
});

describe('nats-server of our own', () => {
  test('refuses a broken new configuration and goes on with the old one', async () => {
    const configFile = join(dir, 'nats.json');
    writeFileSync(configFile, '{ "jetstream": {} }');
    const { path } = await ensureNatsServer();
    const logFile = join(dir, 'nats.log');
    const nats = await startNats({ supervisor, binary: path, configFile, logFile });
    writeFileSync(configFile, '{ "max_payload": 1000 }');
    await nats.reload();
    writeFileSync(configFile, '{ "max_payload": [] }');
    await expect(nats.reload()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect(nats.process.exit).toBeUndefined();
    await nats.stop();
    expect(existsSync(join(dir, 'run', `${process.pid}-nats.json`))).toBe(false);
  });

  test('that ends at its start is said with the end of its log', async () => {
    const configFile = join(dir, 'broken.json');
    writeFileSync(configFile, '{ "port": "none" }');
    const { path } = await ensureNatsServer();
    const logFile = join(dir, 'broken.log');
    const starting = startNats({ supervisor, binary: path, configFile, logFile });
    await expect(starting).rejects.toMatchObject({ code: 'PROCESS_EXITED' });
    await expect(starting).rejects.toThrow(/^nats ended with 1; its log is .*broken\.log/s);
  });
});
