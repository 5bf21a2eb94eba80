import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createSigner } from '@remit/bus';
import { createDatabase, createLogger, createOutbox, type Fetch } from '@remit/service-kit';
import type { TestInfra } from '@remit/testkit';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { RegistryConfig } from '../config.ts';
import { type Applied, applyFolder } from '../load/apply-folder.ts';
import { checkFolder } from '../load/check-folder.ts';
import { readFolder } from '../load/read-folder.ts';
import { createChangeWriter } from '../store/changes.ts';
import type { RegistryTables } from '../store/tables.ts';

export const silent = createLogger({ service: 'registry', instance: 'test', level: 'silent' });
const ISSUER = 'https://idp.test';

/** A small organisation, as files by path. */
export const ACME: Readonly<Record<string, string>> = {
  'acme/tenant.yaml': `
id: acme
idps: [{ issuer: "\${env:REMIT_LOAD_IDP}" }]
admin_groups: { remit-admin: [security], remit-auditor: [internal-audit] }
`,
  'acme/agents/helper.yaml': `
id: helper
owner: platform
keys: [{ kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo }]
task_types: [look-up]
envelope:
  - { actions: [things.read], resources: [erp/things/*], args: [] }
`,
  'acme/roles/reader.yaml': `
id: reader
permissions: [{ actions: [things.read], resources: [erp/things/*], args: [] }]
`,
  'acme/roles/writer.yaml': `
id: writer
permissions: [{ actions: [things.write], resources: [erp/things/*], args: any }]
`,
  'acme/users.yaml': `
- { id: alice, identities: [{ issuer: "https://idp.test", subject: a-1 }], groups: [staff], roles: [reader] }
- { id: dora, identities: [{ issuer: "https://idp.test", subject: d-1 }], groups: [security] }
- { id: erin, identities: [{ issuer: "https://idp.test", subject: e-1 }], groups: [internal-audit] }
`,
  'acme/groups.yaml': `
- { id: staff, roles: [writer] }
`,
  'acme/tools.yaml': `
- { id: erp, audience: "https://erp.test", actions: [things.read, things.write] }
`,
  'acme/task-types/look-up.yaml': `
id: look-up
purpose: Look one thing up
slots: { thing: { type: id } }
permissions: [{ actions: [things.read], resources: ["erp/things/{thing}"], args: [] }]
until_seconds: 600
`,
};

export const GLOBEX: Readonly<Record<string, string>> = {
  'globex/tenant.yaml': `
id: globex
idps: [{ issuer: "https://idp.test" }]
admin_groups: { remit-admin: [security] }
`,
  'globex/users.yaml': `
- { id: gina, identities: [{ issuer: "https://idp.test", subject: g-1 }], groups: [security] }
`,
};

export const LOAD_ENV = { REMIT_LOAD_IDP: ISSUER };

/** Writes files below `dir`, which is emptied first. */
export function writeFolder(dir: string, files: Readonly<Record<string, string>>): void {
  rmSync(dir, { recursive: true, force: true });
  for (const [path, content] of Object.entries(files)) {
    const file = join(dir, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}

/** Loads files as `load.ts` does. */
export async function load(
  infra: TestInfra,
  files: Readonly<Record<string, string>>,
): Promise<Applied[]> {
  const dir = join(infra.tmpDir, 'folder');
  writeFolder(dir, files);
  const folders = readFolder(dir, LOAD_ENV);
  for (const folder of folders) checkFolder(folder);
  const database = await createDatabase<RegistryTables>({
    url: infra.databaseUrl('registry'),
    schema: 'registry',
    log: silent,
    max: 1,
    insecure: true,
  });
  try {
    const outbox = createOutbox({ database, log: silent, send: () => Promise.reject(new Error()) });
    const clock = { now: () => 1_800_000_000_000 };
    const signer = createSigner(infra.signer('registry-bus'));
    const envelopeSigner = createSigner(infra.signer('registry-envelope'));
    const writer = createChangeWriter({ outbox, signer, clock });
    const applied: Applied[] = [];
    for (const folder of folders) {
      applied.push(await applyFolder(folder, { database, writer, envelopeSigner }));
    }
    return applied;
  } finally {
    await database.close();
  }
}

/** The configuration of a registry on the test's servers. */
export function testConfig(infra: TestInfra): RegistryConfig {
  const { user, seed } = infra.creds('registry');
  return {
    httpHost: '127.0.0.1',
    httpPort: 0,
    publicUrl: 'https://registry.test',
    databaseUrl: infra.databaseUrl('registry'),
    natsUrl: infra.natsUrl,
    natsUser: user,
    natsSeed: seed,
    trustFile: infra.trustFile,
    spoolDir: join(infra.tmpDir, 'spool'),
    logLevel: 'fatal',
    production: false,
    insecureDatabase: true,
    busSignerFile: infra.keys.signerFile('registry-bus'),
    envelopeSignerFile: infra.keys.signerFile('registry-envelope'),
    streamReplicas: 1,
  };
}

/** An identity provider behind `fetch`: discovery, keys, and access tokens for people. */
export async function testIdp() {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', use: 'sig' };
  const fetch: Fetch = async (url) => {
    if (url === `${ISSUER}/.well-known/openid-configuration`) {
      return Response.json({ issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` });
    }
    if (url === `${ISSUER}/jwks`) return Response.json({ keys: [jwk] });
    throw new Error(`nothing at ${url}`);
  };
  const token = (subject: string, audience = 'https://registry.test/t/acme'): Promise<string> =>
    new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
      .setIssuer(ISSUER)
      .setSubject(subject)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey);
  return { fetch, token };
}
