import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DevFile } from '@remit/contracts';
import { repositoryRoot, StackError } from '@remit/stack';
import { AGENTS, APP, PEOPLE } from '../organisation.ts';
import type { World } from '../world.ts';
import { resolveLocalhostNames } from './localhost-names.ts';
import { COMPOSE_HOST, PORTS } from './ports.ts';

const SERVICES = ['issuer', 'pdp', 'revocation', 'audit', 'registry'] as const;

/** What the story needs of a stack; `stopAll` leaves the containers as they are. */
export type ComposeDemo = { dev: DevFile; line: World['line']; stopAll(): Promise<void> };

/**
 * The demo's world in the containers of docker-compose.yml, which run already. Copies the agents' keys,
 * passwords and seeds out of the volumes into a temporary folder that goes with `stopAll`.
 * Throws StackError `NOT_READY` when the containers are not there.
 */
export function openComposeDemo(): ComposeDemo {
  const up = running();
  const missing = [...SERVICES, 'edge', 'idp', 'erp-1', 'erp-2'].find((name) => !up.has(name));
  if (missing !== undefined) {
    throw new StackError(
      'NOT_READY',
      `the container ${missing} does not run: docker compose up --build --wait starts all of them.`,
    );
  }
  const dir = mkdtempSync(join(tmpdir(), 'remit-compose-'));
  const restore = resolveLocalhostNames();
  try {
    compose('cp', 'init:/state/.', join(dir, 'state'));
    compose('cp', 'demo-init:/out/agents/agents/.', join(dir, 'agents'));
    compose('cp', 'demo-init:/out/idp/people.json', join(dir, 'people.json'));
    const container = up.get('erp-2') as string;
    return {
      dev: describe(dir),
      line: {
        cut: () => docker('network', 'disconnect', BUS_NETWORK, container),
        heal: () => docker('network', 'connect', BUS_NETWORK, container),
      },
      stopAll() {
        restore();
        rmSync(dir, { recursive: true, force: true });
        return Promise.resolve();
      },
    };
  } catch (error) {
    restore();
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

/** The project's name is in docker-compose.yml, the network's too. */
const BUS_NETWORK = 'remit_bus';

/** Container ids by service. */
function running(): Map<string, string> {
  const lines = compose('ps', '--status=running', '--format={{.Service}} {{.ID}}').split('\n');
  return new Map(lines.filter(Boolean).map((line) => line.split(' ') as [string, string]));
}

function compose(...args: string[]): string {
  return docker('compose', ...args);
}

function docker(...args: string[]): string {
  try {
    return execFileSync('docker', args, {
      cwd: repositoryRoot,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() || String(cause);
    throw new StackError('NOT_READY', `docker ${args.slice(0, 3).join(' ')} failed: ${said}`, {
      cause,
    });
  }
}

function describe(dir: string): DevFile {
  const passwordsIn = (...path: string[]): Record<string, string> =>
    JSON.parse(readFileSync(join(dir, ...path), 'utf8')) as Record<string, string>;
  const url = (name: keyof typeof PORTS): string => `http://${COMPOSE_HOST}:${PORTS[name]}`;
  const people = passwordsIn('people.json');
  const passwords = passwordsIn('state', 'roles', 'passwords.json');
  const erpPassword = readFileSync(join(dir, 'state', 'roles', 'extra-erp'), 'utf8');
  const database = (role: string, password: string | undefined, name = 'remit'): string =>
    `postgres://${role}:${password}@${COMPOSE_HOST}:${PORTS.postgres}/${name}`;
  const seed = (account: string, name: string) => ({
    name,
    account,
    seed_file: join(dir, 'state', 'bus', 'seeds', account, `${name}.seed`),
  });
  return {
    v: 1,
    tenant: 'acme',
    urls: Object.fromEntries(
      ([...SERVICES, 'idp', 'erp', 'erp-2'] as const).map((name) => [name, url(name)]),
    ),
    issuer: `${url('issuer')}/t/acme`,
    erp_audience: url('erp'),
    trust_file: join(dir, 'state', 'trust.json'),
    app: { issuer: url('idp'), client_id: APP.id, redirect_uri: APP.redirectUri },
    clients: AGENTS.map(({ id, bearer }) => ({
      id,
      key_file: join(dir, 'agents', `${id}.json`),
      bearer,
    })),
    users: Object.entries(PEOPLE).map(([id, groups]) => ({
      id,
      password: people[id] as string,
      groups,
    })),
    nats: {
      url: `nats://${COMPOSE_HOST}:${PORTS.nats}`,
      server: 'the image of docker-compose.yml',
      users: [
        seed('REMIT', 'operator'),
        seed('SIEM_siem', 'siem'),
        seed('PEP_acme_erp-1', 'erp-1'),
      ],
    },
    postgres: {
      host: COMPOSE_HOST,
      port: PORTS.postgres,
      roles: {
        ...Object.fromEntries(
          SERVICES.flatMap((service) => [
            [service, database(`remit_${service}`, passwords[`remit_${service}`])],
            [
              `${service}_owner`,
              database(`remit_${service}_owner`, passwords[`remit_${service}_owner`]),
            ],
          ]),
        ),
        erp: database('erp', erpPassword, 'erp'),
      },
    },
    examples: [],
  };
}
