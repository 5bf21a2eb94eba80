import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { conform, trustFile } from '@remit/contracts';
import { afterAll, describe, expect, test } from 'vitest';
import { type Deployment, prepareDeployment } from './deployment.ts';

const dir = mkdtempSync(join(tmpdir(), 'remit-init-'));
afterAll(() => rmSync(dir, { recursive: true }));

const wanted: Deployment = {
  stateDir: join(dir, 'state'),
  outDir: join(dir, 'out'),
  tenants: ['acme'],
  peps: ['acme/erp-1'],
  siems: ['siem'],
  issuerUrl: 'http://remit.localhost:7401',
  postgres: { host: 'postgres', port: 5432, database: 'remit' },
  databases: ['erp'],
  checkpointOrigin: 'remit.local',
};
const out = (...parts: string[]): string => readFileSync(join(dir, 'out', ...parts), 'utf8');
const files = (): string[] =>
  readdirSync(join(dir, 'out'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(dir, 'out').length + 1))
    .toSorted();

describe('the preparation of a deployment', () => {
  test('gives each process what it needs and nothing of anybody else', async () => {
    await prepareDeployment(wanted);
    expect(files()).toEqual([
      'audit/bus-signer.json',
      'audit/checkpoint-signer.json',
      'audit/database-url',
      'audit/nats-seed',
      'audit/trust.json',
      'database-erp/url',
      'issuer/database-url',
      'issuer/nats-seed',
      'issuer/token-keys.json',
      'issuer/trust.json',
      'migrate/audit-owner-url',
      'migrate/issuer-owner-url',
      'migrate/pdp-owner-url',
      'migrate/registry-owner-url',
      'migrate/revocation-owner-url',
      'nats/nats.json',
      'pdp/bus-signer.json',
      'pdp/database-url',
      'pdp/nats-seed',
      'pdp/trust.json',
      'pep-acme-erp-1/nats-seed',
      'pep-acme-erp-1/trust.json',
      'postgres/superuser-password',
      'registry/bus-signer.json',
      'registry/database-url',
      'registry/envelope-signer.json',
      'registry/nats-seed',
      'registry/trust.json',
      'revocation/bus-signer.json',
      'revocation/database-url',
      'revocation/nats-seed',
      'revocation/status-signer.json',
      'revocation/trust.json',
      'roles/databases.sql',
      'roles/roles.sql',
      'roles/schemas.sql',
      'roles/superuser-password',
    ]);
    const keys = files()
      .filter((file) => file.endsWith('-signer.json'))
      .flatMap((file) => (JSON.parse(out(file)) as { keys: { kid: string }[] }).keys);
    expect(new Set(keys.map(({ kid }) => kid)).size).toBe(8);
  });

  // Goes red when writeSecret is given no mode.
  test('lets nobody else read what it wrote, but for the password that the server itself reads', () => {
    const open = files().filter((file) => statSync(join(dir, 'out', file)).mode & 0o077);
    expect(open).toEqual(['postgres/superuser-password']);
  });

  test('puts public keys alone into the trust file and the configuration of the bus', () => {
    const trust = conform(trustFile, JSON.parse(out('issuer/trust.json')));
    expect(JSON.stringify(trust)).not.toMatch(/"(d|priv)":/);
    expect(out('nats/nats.json')).not.toMatch(/"S[A-Z0-9]{57}"/);
    expect(trust).toMatchObject({
      tenants: {
        acme: {
          issuer: 'http://remit.localhost:7401/t/acme',
          jwks_uri: 'http://remit.localhost:7401/t/acme/jwks.json',
        },
      },
    });
  });

  test('keeps what exists, and adds a tenant and a PEP', async () => {
    const before = files().filter((file) => !file.endsWith('trust.json'));
    const content = new Map(before.map((file) => [file, out(file)]));
    await prepareDeployment({
      ...wanted,
      tenants: ['acme', 'globex'],
      peps: ['acme/erp-1', 'globex/crm-1'],
    });
    const changed = before.filter((file) => out(file) !== content.get(file));
    expect(changed).toEqual(['issuer/token-keys.json', 'nats/nats.json']);
    expect(Object.keys(JSON.parse(out('issuer/token-keys.json')) as object)).toEqual([
      'acme',
      'globex',
    ]);
    expect(JSON.parse(out('issuer/token-keys.json'))).toMatchObject(
      JSON.parse(content.get('issuer/token-keys.json') as string) as object,
    );
    expect(files()).toContain('pep-globex-crm-1/nats-seed');
  });

  test.each([
    ['a tenant', { tenants: ['../x'] }],
    ['a PEP', { peps: ['acme/../../x'] }],
    ['a database', { databases: ['erp; drop database remit'] }],
  ])('refuses a name of %s that is none', async (_what, wrong) => {
    const before = files();
    await expect(prepareDeployment({ ...wanted, ...wrong })).rejects.toThrow();
    expect(files()).toEqual(before);
  });
});
