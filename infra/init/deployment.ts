import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeName, SERVICES, tenantId } from '@remit/contracts';
import {
  type DeploymentKeys,
  json,
  makeKeys,
  type Purpose,
  readJson,
  trustOf,
  writeSecret,
} from './keys.ts';

export type Deployment = {
  /** Where everything that was made is kept, for the next call. Nobody else may see it. */
  stateDir: string;
  /** One folder below it for each process: what it needs, and nothing of anybody else's. */
  outDir: string;
  tenants: readonly string[];
  /** `TENANT/PEP`. */
  peps: readonly string[];
  siems: readonly string[];
  issuerUrl: string;
  postgres: { host: string; port: number; database: string };
  /** Databases of others, each with a role of its own name. */
  databases: readonly string[];
  checkpointOrigin: string;
};

const DATABASE_NAME = /^[a-z][a-z0-9_]{0,62}$/;

const SIGNERS: Record<string, Record<string, Purpose>> = {
  issuer: {},
  pdp: { 'bus-signer.json': 'pdp-bus' },
  registry: { 'bus-signer.json': 'registry-bus', 'envelope-signer.json': 'registry-envelope' },
  revocation: { 'bus-signer.json': 'revocation-bus', 'status-signer.json': 'revocation-status' },
  audit: { 'bus-signer.json': 'audit-bus', 'checkpoint-signer.json': 'audit-checkpoint' },
};

/**
 * Makes everything that a deployment needs before its first start: signing keys, trust file, accounts
 * and permissions of the bus with the seed of every user, roles of the database with their passwords.
 * What exists is kept; a call with more tenants or PEPs adds them. Reaches no network and starts
 * nothing. Throws RangeError or ContractError for a name that is none.
 */
export async function prepareDeployment(wanted: Deployment): Promise<void> {
  for (const tenant of wanted.tenants) tenantId(tenant);
  const state = (...parts: string[]): string => join(wanted.stateDir, ...parts);
  const generator = (program: string, ...args: string[]): void => {
    execFileSync(process.execPath, [join(import.meta.dirname, '..', program), ...args]);
  };
  generator(
    'nats/main.ts',
    ...['--out', state('bus')],
    ...['--peps', wanted.peps.join(','), '--siems', wanted.siems.join(',')],
  );
  generator('postgres/main.ts', '--out', state('roles'));
  const keys = await makeKeys(state('keys'), wanted.tenants);
  const trust = json(trustOf(keys, wanted));
  writeSecret(state('trust.json'), trust);

  const passwords = readJson(state('roles', 'passwords.json')) as Record<string, string>;
  for (const service of SERVICES) {
    handOut(service, wanted, keys);
    const out = (name: string): string => join(wanted.outDir, service, name);
    writeSecret(out('trust.json'), trust);
    writeSecret(out('database-url'), url(wanted, `remit_${service}`, passwords));
    writeSecret(
      join(wanted.outDir, 'migrate', `${service}-owner-url`),
      url(wanted, `remit_${service}_owner`, passwords),
    );
  }
  for (const pep of wanted.peps) {
    const [tenant = '', name = ''] = pep.split('/');
    const out = join(wanted.outDir, `pep-${tenantId(tenant)}-${nodeName(name)}`);
    copySeed(wanted, `PEP_${tenant}_${name}`, name, out);
    writeSecret(join(out, 'trust.json'), trust);
  }
  handOutBus(wanted);
  handOutDatabase(wanted);
}

/** A service's seed and its signers. */
function handOut(service: string, wanted: Deployment, keys: DeploymentKeys): void {
  const out = join(wanted.outDir, service);
  copySeed(wanted, 'REMIT', service, out);
  for (const [file, purpose] of Object.entries(SIGNERS[service] ?? {})) {
    writeSecret(join(out, file), readFileSync(keys.signerFile(purpose), 'utf8'));
  }
  if (service === 'issuer') {
    writeSecret(join(out, 'token-keys.json'), readFileSync(keys.tokenKeysFile, 'utf8'));
  }
}

function copySeed(wanted: Deployment, account: string, user: string, out: string): void {
  const seed = join(wanted.stateDir, 'bus', 'seeds', account, `${user}.seed`);
  writeSecret(join(out, 'nats-seed'), readFileSync(seed, 'utf8'));
}

/** The server's configuration, with monitoring for whoever is in its container: it asks for no key. */
function handOutBus({ stateDir, outDir }: Deployment): void {
  const config = readJson(join(stateDir, 'bus', 'nats.json')) as object;
  writeSecret(join(outDir, 'nats', 'nats.json'), json({ http: '127.0.0.1:8222', ...config }));
}

/** What the server and whoever prepares it need, and the URLs of databases that are not a service's. */
function handOutDatabase(wanted: Deployment): void {
  const { stateDir, outDir } = wanted;
  const extra = (name: string): string => {
    if (!DATABASE_NAME.test(name)) throw new RangeError(`${name} is no name of a database`);
    return kept(join(stateDir, 'roles', `extra-${name}`));
  };
  const superuser = kept(join(stateDir, 'roles', 'superuser'));
  // The server runs as a user of its own, and nobody else is in its container.
  writeSecret(join(outDir, 'postgres', 'superuser-password'), superuser, 0o644);
  const roles = (name: string, content: string): void =>
    writeSecret(join(outDir, 'roles', name), content);
  roles('superuser-password', superuser);
  roles('roles.sql', readFileSync(join(stateDir, 'roles', 'roles.sql'), 'utf8'));
  roles('schemas.sql', readFileSync(join(stateDir, 'roles', 'schemas.sql'), 'utf8'));
  roles('databases.sql', wanted.databases.map((name) => databaseSql(name, extra(name))).join('\n'));
  for (const name of wanted.databases) {
    const connection = url(wanted, name, { [name]: extra(name) }, name);
    writeSecret(join(outDir, `database-${name}`, 'url'), connection);
  }
}

/** Made when first asked for. */
function kept(file: string): string {
  if (!existsSync(file)) writeSecret(file, randomBytes(24).toString('base64url'));
  return readFileSync(file, 'utf8');
}

/** For psql: `create database` stands in no block, so `\gexec` makes it only where it is missing. */
function databaseSql(name: string, password: string): string {
  return `do $$ begin create role ${name}; exception when duplicate_object then null; end $$;
alter role ${name} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password '${password}';
select 'create database ${name}' where not exists (select from pg_database where datname = '${name}')\\gexec
alter database ${name} owner to ${name};
revoke all on database ${name} from public;
`;
}

function url(
  { postgres: { host, port, database } }: Deployment,
  role: string,
  passwords: Record<string, string>,
  name = database,
): string {
  return `postgres://${role}:${passwords[role]}@${host}:${port}/${name}`;
}
