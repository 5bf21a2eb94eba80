import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { PORTS } from '../../demo/compose/ports.ts';
import { readRoutes } from '../../infra/edge/forward.ts';
import { SETTINGS } from './settings-doc.ts';

type Volume = string | { source: string };
type Container = {
  image: string;
  profiles: string[];
  user?: string;
  restart: string;
  read_only?: boolean;
  privileged?: boolean;
  cap_drop?: string[];
  cap_add?: string[];
  security_opt?: string[];
  ports?: string[];
  networks?: string[] | Record<string, { aliases?: string[] }>;
  volumes?: Volume[];
  environment?: Record<string, string>;
  healthcheck?: object;
  depends_on?: Record<string, { condition: string }>;
  deploy: { resources: { limits: { cpus: string; memory: string; pids: number } } };
};

const root = join(import.meta.dirname, '../..');
const compose = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), {
  merge: true,
  maxAliasCount: -1,
}) as {
  services: Record<string, Container>;
  networks: Record<string, { internal?: boolean }>;
  volumes: Record<string, unknown>;
};
const containers = Object.entries(compose.services);
const sourceOf = (volume: Volume): string =>
  typeof volume === 'string' ? (volume.split(':')[0] as string) : volume.source;
const holders = (volume: string): string[] =>
  containers
    .filter(([, { volumes = [] }]) => volumes.some((each) => sourceOf(each) === volume))
    .map(([name]) => name);

describe('docker-compose.yml', () => {
  // Each of these goes red when the line is taken out of the file.
  it.each(containers)('takes every right from %s that it does not need', (_name, container) => {
    expect(container.read_only).toBe(true);
    expect(container.cap_drop).toEqual(['ALL']);
    expect(container.cap_add).toBeUndefined();
    expect(container.privileged).toBeUndefined();
    expect(container.security_opt).toEqual(['no-new-privileges:true']);
    expect(Object.keys(container.deploy.resources.limits)).toEqual(['cpus', 'memory', 'pids']);
  });

  it('publishes on this machine only, and only what the edge listens on', () => {
    const publishing = containers.filter(([, { ports }]) => ports);
    expect(publishing.map(([name]) => name)).toEqual(['edge']);
    const edge = compose.services['edge'] as Container;
    const routes = readRoutes(edge.environment?.['EDGE_ROUTES'] ?? '');
    expect(routes.map(({ port }) => port)).toEqual(Object.values(PORTS));
    expect(edge.ports).toEqual(routes.map(({ port }) => `127.0.0.1:${port}:${port}`));
    expect(compose.networks).toMatchObject({ bus: { internal: true }, data: { internal: true } });
  });

  it.each(Object.entries(SETTINGS))(
    'gives %s every setting that it needs and none that it does not know',
    (service, entries) => {
      const given = Object.keys(compose.services[service]?.environment ?? {}).filter((name) =>
        name.startsWith('REMIT_'),
      );
      const image = ['REMIT_HTTP_HOST', 'REMIT_HTTP_PORT', 'REMIT_SPOOL_DIR'];
      const known = entries.flatMap(({ name, secret }) =>
        secret ? [name, `${name}_FILE`] : [name],
      );
      const secrets = entries.filter(({ secret }) => secret).map(({ name }) => name);
      const required = entries.filter((each) => each.required).map(({ name }) => name);
      expect(given.filter((name) => !known.includes(name))).toEqual([]);
      expect(given.filter((name) => secrets.includes(name))).toEqual([]);
      const all = [...image, ...given.map((name) => name.replace(/(SEED|URL)_FILE$/, '$1'))];
      expect(required.filter((name) => !all.includes(name))).toEqual([]);
    },
  );

  it('shows each secret only to those whose it is, and the whole to nobody but init', () => {
    expect(holders('state')).toEqual(['init']);
    expect(holders('secrets-issuer')).toEqual(['init', 'issuer']);
    expect(holders('secrets-pdp')).toEqual(['init', 'pdp', 'load-pdp']);
    expect(holders('secrets-registry')).toEqual(['init', 'registry', 'load-registry']);
    expect(holders('secrets-revocation')).toEqual(['init', 'revocation']);
    expect(holders('secrets-audit')).toEqual(['init', 'audit']);
    expect(holders('secrets-migrate')).toEqual(['init', 'migrate']);
    expect(holders('secrets-roles')).toEqual(['init', 'roles']);
    expect(holders('secrets-nats')).toEqual(['init', 'nats']);
    expect(holders('secrets-postgres')).toEqual(['init', 'postgres']);
    expect(holders('agents')).toEqual(['demo-init']);
  });

  it('gives each process that records a spool of its own, on a named volume', () => {
    const spools = Object.keys(compose.volumes).filter((name) => name.startsWith('spool-'));
    expect(spools.map(holders)).toEqual(spools.map((name) => [name.slice('spool-'.length)]));
    expect(spools.length).toBe(8);
  });

  it('waits for health where something stays, and for the end where something ends', () => {
    for (const [name, container] of containers) {
      const stays = container.restart === 'unless-stopped';
      expect([name, container.healthcheck !== undefined]).toEqual([name, stays]);
      for (const [needed, { condition }] of Object.entries(container.depends_on ?? {})) {
        const ends = compose.services[needed]?.restart === 'no';
        expect([name, needed, condition]).toEqual([
          name,
          needed,
          ends ? 'service_completed_successfully' : 'service_healthy',
        ]);
      }
    }
    // `up --wait` fails on a container that ended and that nobody waited for.
    const awaited = containers.flatMap(([, { depends_on }]) => Object.keys(depends_on ?? {}));
    const ending = containers.filter(([, { restart }]) => restart === 'no').map(([name]) => name);
    expect(ending.filter((name) => !awaited.includes(name))).toEqual([]);
  });

  it('starts the core without the demo', () => {
    for (const [name, { profiles, depends_on }] of containers) {
      expect(profiles).toContain('demo');
      if (!profiles.includes('core')) continue;
      const outside = Object.keys(depends_on ?? {}).filter(
        (needed) => !compose.services[needed]?.profiles.includes('core'),
      );
      expect([name, outside]).toEqual([name, []]);
    }
  });
});
