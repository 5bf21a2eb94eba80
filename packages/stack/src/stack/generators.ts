import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { StackError } from '../error.ts';
import { repositoryRoot } from './repository.ts';

const run = promisify(execFile);

export type BusMembers = {
  /** PEP names by tenant. */
  peps: Readonly<Record<string, readonly string[]>>;
  siems: readonly string[];
};

export type BusFiles = {
  configFile: string;
  /** The seed file of a service, of the operator or of the server's own `sys` user. */
  seedFile(user: string): string;
  pepSeedFile(tenant: string, pep: string): string;
  siemSeedFile(siem: string): string;
};

/**
 * Writes the configuration of the bus and the seeds of its users below `dir` with the generator of
 * `infra`, in a process of its own. Seeds that exist are kept.
 */
export async function generateBus(dir: string, members: BusMembers): Promise<BusFiles> {
  const peps = Object.entries(members.peps).flatMap(([tenant, names]) =>
    names.map((name) => `${tenant}/${name}`),
  );
  await generate('infra/nats/main.ts', [
    ...['--out', dir, '--peps', peps.join(','), '--siems', members.siems.join(',')],
  ]);
  const seed = (account: string, user: string): string =>
    join(dir, 'seeds', account, `${user}.seed`);
  return {
    configFile: join(dir, 'nats.json'),
    seedFile: (user) => seed(user === 'sys' ? 'SYS' : 'REMIT', user),
    pepSeedFile: (tenant, pep) => seed(`PEP_${tenant}_${pep}`, pep),
    siemSeedFile: (siem) => seed(`SIEM_${siem}`, siem),
  };
}

export type DatabaseFiles = {
  /** Once per cluster, as superuser. */
  rolesSql: string;
  /** In each database, as superuser. */
  schemasSql: string;
  password(role: string): string;
  /** The password of a database outside the services', made when first asked for and kept. */
  extraPassword(name: string): string;
};

/** Makes the roles' passwords and SQL below `dir` with the generator of `infra`. Passwords that exist are kept. */
export async function generateRoles(dir: string): Promise<DatabaseFiles> {
  await generate('infra/postgres/main.ts', ['--out', dir]);
  const read = (file: string): string => readFileSync(join(dir, file), 'utf8');
  const passwords = JSON.parse(read('passwords.json')) as Record<string, string>;
  return {
    rolesSql: read('roles.sql'),
    schemasSql: read('schemas.sql'),
    password(role) {
      const password = passwords[role];
      if (password === undefined) {
        throw new StackError('GENERATOR_FAILED', `there is no database role ${role}.`);
      }
      return password;
    },
    extraPassword(name) {
      const file = join(dir, `extra-${name}`);
      if (!existsSync(file)) {
        writeFileSync(file, randomBytes(24).toString('base64url'), { mode: 0o600 });
      }
      return readFileSync(file, 'utf8');
    },
  };
}

async function generate(program: string, args: string[]): Promise<void> {
  try {
    await run(process.execPath, [join(repositoryRoot, program), ...args], {
      cwd: dirname(repositoryRoot),
    });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() ?? String(cause);
    throw new StackError('GENERATOR_FAILED', `${program} failed: ${said}`, { cause });
  }
}
