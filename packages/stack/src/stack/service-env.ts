import { mkdirSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { KeyFiles } from '../keys/key-files.ts';
import { databaseUrl, serviceRoles } from './databases.ts';
import type { BusFiles, DatabaseFiles } from './generators.ts';
import type { StackPlan } from './plan.ts';
import { repositoryRoot } from './repository.ts';

export type Environment = Record<string, string>;

/** The one database that all services share, each in a schema of its own. */
export const SERVICES_DATABASE = 'remit';

type Parts = { plan: StackPlan; keys: KeyFiles; bus: BusFiles; roles: DatabaseFiles };

/** Where a program reaches the servers: their own ports, or those of something in between. */
export type ServerPorts = { nats: number; postgres: number };

/**
 * The environment that a service runs with: what it needs and nothing of anybody else's. `name` is the
 * replica's, whose port and spool are its own.
 */
export function serviceEnvironment(
  service: string,
  { plan, keys, bus, roles }: Parts,
  { name, ports }: { name: string; ports: ServerPorts },
): Environment {
  const spool = plan.path('spool', name);
  mkdirSync(spool, { recursive: true, mode: 0o700 });
  const { app } = serviceRoles(service);
  return {
    REMIT_HTTP_HOST: '127.0.0.1',
    REMIT_HTTP_PORT: String(plan.port(name)),
    REMIT_PUBLIC_URL: plan.url(service),
    REMIT_DATABASE_URL: databaseUrl({
      port: ports.postgres,
      role: app,
      password: roles.password(app),
      database: SERVICES_DATABASE,
    }),
    REMIT_NATS_URL: `nats://127.0.0.1:${ports.nats}`,
    REMIT_NATS_USER: service,
    REMIT_NATS_SEED_FILE: bus.seedFile(service),
    REMIT_TRUST_FILE: plan.path('trust.json'),
    REMIT_SPOOL_DIR: spool,
    ...signers(service, plan, keys),
  };
}

function signers(service: string, plan: StackPlan, keys: KeyFiles): Environment {
  switch (service) {
    case 'issuer':
      return { REMIT_TOKEN_KEYS_FILE: keys.tokenKeysFile };
    case 'pdp':
      return { REMIT_BUS_SIGNER_FILE: keys.signerFile('pdp-bus') };
    case 'registry':
      return {
        REMIT_BUS_SIGNER_FILE: keys.signerFile('registry-bus'),
        REMIT_ENVELOPE_SIGNER_FILE: keys.signerFile('registry-envelope'),
      };
    case 'revocation':
      return {
        REMIT_BUS_SIGNER_FILE: keys.signerFile('revocation-bus'),
        REMIT_STATUS_SIGNER_FILE: keys.signerFile('revocation-status'),
      };
    case 'audit': {
      const checkpoints = plan.path('checkpoints');
      mkdirSync(checkpoints, { recursive: true, mode: 0o700 });
      return {
        REMIT_BUS_SIGNER_FILE: keys.signerFile('audit-bus'),
        REMIT_CHECKPOINT_SIGNER_FILE: keys.signerFile('audit-checkpoint'),
        REMIT_CHECKPOINT_DIR: checkpoints,
      };
    }
    default:
      return {};
  }
}

/** Writes an environment where `node --env-file` reads it (0600), and gives the command to run. */
export function writeEnvironment(
  plan: StackPlan,
  name: string,
  env: Environment,
  program: string,
): string {
  mkdirSync(plan.path('env'), { recursive: true, mode: 0o700 });
  const file = plan.path('env', `${name}.env`);
  const lines = Object.entries(env).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  const node = relative(repositoryRoot, process.execPath);
  return `${node.startsWith('..') ? 'node' : node} --env-file=${shown(file)} ${shown(program)}`;
}

function shown(path: string): string {
  const inside = relative(repositoryRoot, path);
  return inside.startsWith('..') ? path : inside;
}
