import { existsSync, mkdtempSync } from 'node:fs';
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

test('a given server goes from file to file: emptied, with whom they need on it, and running', async () => {
  await using given = await givenServer();
  const servers = testServers('external');
  const login = (url: string, { user, seed }: { user: string; seed: string }) =>
    connect({
      servers: url,
      authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
      inboxPrefix: `_INBOX_${user}`,
      reconnect: false,
    });
  const create = JSON.stringify({ name: 'AUDIT', subjects: ['remit.audit.>'], storage: 'memory' });
  for (const file of ['the first', 'the next']) {
    const infra = await testInfra({ servers });
    const audit = await login(infra.natsUrl, infra.creds('audit'));
    const answer = await audit.request('$JS.API.STREAM.CREATE.AUDIT', create);
    // A stream that the file before had left would not be made again.
    expect([file, answer.json()]).toMatchObject([file, { did_create: true }]);

    await infra.addPeps({ initech: ['erp-9'] });
    const pep = await login(infra.natsUrl, infra.pepCreds('initech', 'erp-9'));
    await pep.close();
    expect(audit.isClosed()).toBe(false);
    await audit.close();
    await infra[Symbol.asyncDispose]();
  }
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
