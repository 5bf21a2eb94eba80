import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import pg from 'pg';
import { expect, test } from 'vitest';
import { testInfra, testServers } from './index.ts';

test('a test file gets a database of its own for a service, and its role may make nothing', async () => {
  await using infra = await testInfra({ services: ['issuer'], nats: false });
  const client = new pg.Client({ connectionString: infra.databaseUrl('issuer') });
  await client.connect();
  try {
    const { rows } = await client.query('select current_user as role, current_schema as schema');
    expect(rows).toEqual([{ role: 'remit_issuer', schema: 'issuer' }]);
    await expect(client.query('create table issuer.planted (id int)')).rejects.toThrow(
      'permission denied for schema issuer',
    );
    await expect(client.query('create table public.planted (id int)')).rejects.toThrow(
      'permission denied for schema public',
    );
    await expect(client.query('select * from audit.planted')).rejects.toThrow(
      'permission denied for schema audit',
    );
  } finally {
    await client.end();
  }
});

test('a disposed infrastructure leaves no server, no database and no folder', async () => {
  // A given server goes on; what becomes of it there is given-bus.test.ts.
  await using own = new AsyncDisposableStack();
  const servers = process.env['REMIT_TEST_INFRA'] === 'external' && testServers('embedded');
  if (servers) own.defer(() => servers.close());
  const infra = await testInfra({ services: ['issuer'], ...(servers ? { servers } : {}) });
  const { port } = infra.nats;
  const connectionString = infra.ownerUrl('issuer');
  await infra[Symbol.asyncDispose]();

  const socket = connect({ host: '127.0.0.1', port });
  const refused = await new Promise<NodeJS.ErrnoException>((resolve) =>
    socket.once('error', resolve),
  );
  expect(refused.code).toBe('ECONNREFUSED');
  await expect(new pg.Client({ connectionString }).connect()).rejects.toThrow('does not exist');
  expect(existsSync(infra.tmpDir)).toBe(false);
});

test('keys follow from the seed, so two test files have the same ones', async () => {
  await using one = await testInfra({ nats: false });
  await using other = await testInfra({ nats: false });
  expect(one.trust()).toEqual(other.trust());
  expect(one.keys.tokenPublicKeys('acme')).toEqual(other.keys.tokenPublicKeys('acme'));
  expect(one.keys.tokenPublicKeys('acme')).not.toEqual(one.keys.tokenPublicKeys('globex'));
});
