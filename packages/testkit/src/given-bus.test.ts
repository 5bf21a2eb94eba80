import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { createSupervisor, ensureNatsServer, generateBus, startNats } from '@remit/stack';
import { afterEach, expect, test, vi } from 'vitest';
import { removeFolder } from './folders.ts';
import { testInfra, testServers } from './index.ts';
import { testRunDir } from './servers.ts';

afterEach(() => vi.unstubAllEnvs());

/** A server that somebody else started, and the environment that names it. */
async function givenServer(): Promise<AsyncDisposable & { dir: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'remit-given-'));
  const supervisor = createSupervisor({ runDir: testRunDir });
  await generateBus(dir, { peps: {}, siems: [] });
  const { url } = await startNats({
    supervisor,
    binary: (await ensureNatsServer()).path,
    configFile: join(dir, 'nats.json'),
    logFile: join(dir, 'nats.log'),
  });
  vi.stubEnv('REMIT_TEST_NATS_URL', url);
  vi.stubEnv('REMIT_TEST_NATS_DIR', dir);
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await supervisor.stopAll();
      removeFolder(dir);
    },
  };
}

test('two test files share a given server, hear nothing of each other and leave nothing', async () => {
  await using given = await givenServer();
  const before = JSON.parse(readFileSync(join(given.dir, 'nats.json'), 'utf8')) as unknown;
  const servers = testServers('external');
  const login = ({ url }: { url: string }, seed: string) =>
    connect({
      servers: url,
      authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
      inboxPrefix: '_INBOX_audit',
      reconnect: false,
    });
  const one = await testInfra({ servers });
  const other = await testInfra({ servers });
  const [here, there] = await Promise.all(
    [one, other].map((infra) => login(infra.nats, infra.creds('audit').seed)),
  );
  if (!here || !there) throw new Error('both connect');

  // The same stream in both is two streams: an account keeps its own.
  const create = JSON.stringify({ name: 'AUDIT', subjects: ['remit.audit.>'], storage: 'memory' });
  for (const connection of [here, there]) {
    const answer = await connection.request('$JS.API.STREAM.CREATE.AUDIT', create);
    expect(answer.json()).toMatchObject({ did_create: true, config: { name: 'AUDIT' } });
  }

  await one.addPeps({ initech: ['erp-9'] });
  const added = one.pepCreds('initech', 'erp-9');
  const pep = await connect({
    servers: one.natsUrl,
    authenticator: nkeyAuthenticator(new TextEncoder().encode(added.seed)),
    reconnect: false,
  });
  await pep.close();

  const { seed } = one.creds('audit');
  await one[Symbol.asyncDispose]();
  await here.closed();
  await expect(login(other.nats, seed)).rejects.toThrow('Authorization Violation');
  expect(there.isClosed()).toBe(false);

  await there.close();
  await other[Symbol.asyncDispose]();
  expect(JSON.parse(readFileSync(join(given.dir, 'nats.json'), 'utf8'))).toEqual(before);
  await servers.close();
  expect(existsSync(given.dir)).toBe(true);
});

test.each([
  ['', '/nowhere'],
  ['nats://127.0.0.1:4222', ''],
  ['nats://127.0.0.1:4222', '/nowhere'],
])('a given server without what it needs is refused: %j, %j', async (url, dir) => {
  vi.stubEnv('REMIT_TEST_NATS_URL', url);
  vi.stubEnv('REMIT_TEST_NATS_DIR', dir);
  const servers = testServers('external');
  try {
    await expect(servers.bus()).rejects.toThrow(
      'needs REMIT_TEST_NATS_URL and REMIT_TEST_NATS_DIR: a nats-server for tests alone',
    );
  } finally {
    await servers.close();
  }
});
