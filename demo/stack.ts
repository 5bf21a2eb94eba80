import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DevFile } from '@remit/contracts';
import {
  type ExtraContext,
  freePort,
  removeStack,
  repositoryRoot,
  type Stack,
  startStack,
  startTcpProxy,
  type TcpProxy,
  writeSecret,
} from '@remit/stack';
import type { IdpOptions } from './idp/provider.ts';
import { AGENTS, APP, OTHERS, PEOPLE, TENANTS } from './organisation.ts';

const run = promisify(execFile);

export type DemoStackOptions = {
  /** Where everything is kept; undefined: a temporary folder that goes with the stack. */
  dir?: string;
  ports: 'fixed' | 'free';
  without?: string[];
  /** Stops the start: what runs already is ended. */
  signal?: AbortSignal;
  onProgress: (line: string) => void;
};

/** What a running demo is made of. `line` is the second ERP's connection to the bus, to be cut. */
export type DemoStack = { stack: Stack; dev: DevFile; line: TcpProxy; stopAll(): Promise<void> };

/** Starts Remit with the organisation around it: an IdP, two instances of an ERP, two tenants. */
export async function startDemoStack(options: DemoStackOptions): Promise<DemoStack> {
  const linePort = await freePort();
  let opening: Promise<TcpProxy> | undefined;
  const stack = await startStack({
    ...options,
    tenants: TENANTS,
    members: { peps: { acme: ['erp-1', 'erp-2'] }, siems: ['siem'] },
    agents: AGENTS.map(({ id }) => id),
    databases: ['erp'],
    extras: {
      idp,
      erp: (context) => erp(context, 'erp-1', context.plan.port('nats')),
      'erp-2': (context) => {
        opening = startTcpProxy({ target: { port: context.plan.port('nats') }, port: linePort });
        return erp(context, 'erp-2', linePort);
      },
    },
  }).catch(async (error: unknown) => {
    await opening?.then((line) => line.close());
    throw error;
  });
  const line = await (opening as Promise<TcpProxy>);
  const stopAll = async () => {
    await stack.stopAll();
    await line.close();
  };
  try {
    const startedAt = performance.now();
    await loadOrganisation(stack);
    options.onProgress(
      `tenants and guardrails loaded (${Math.round(performance.now() - startedAt)} ms)`,
    );
    return { stack, dev: describe(stack), line, stopAll };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** The organisation's IdP, as a program of a stack. */
export function idp({ plan }: ExtraContext) {
  const settings: IdpOptions = {
    issuer: plan.url('idp'),
    users: passwords(plan.path('people.json')),
    clients: [APP],
    resources: TENANTS.flatMap((tenant) =>
      ['pdp', 'revocation', 'audit', 'registry'].map(
        (service) => `${plan.url(service)}/t/${tenant}`,
      ),
    ),
  };
  const file = plan.path('idp.json');
  writeSecret(file, settings);
  return {
    program: join(repositoryRoot, 'demo', 'idp', 'main.ts'),
    args: [file],
    readyUrl: `${plan.url('idp')}/.well-known/openid-configuration`,
  };
}

/** One instance of the ERP. All have one audience, as behind a load balancer; each is a PEP of its own. */
function erp(
  { plan, bus, trustFile, databaseUrl }: ExtraContext,
  pep: 'erp-1' | 'erp-2',
  natsPort: number,
) {
  const name = pep === 'erp-1' ? 'erp' : pep;
  const spool = plan.path('spool', pep);
  mkdirSync(spool, { recursive: true, mode: 0o700 });
  return {
    program: join(repositoryRoot, 'demo', 'erp', 'main.ts'),
    env: {
      ERP_PORT: String(plan.port(name)),
      ERP_TENANT: 'acme',
      ERP_AUDIENCE: plan.url('erp'),
      ERP_DATABASE_URL: databaseUrl('erp'),
      ERP_TRUST_FILE: trustFile,
      ERP_NATS_URL: `nats://127.0.0.1:${natsPort}`,
      ERP_NATS_USER: pep,
      ERP_NATS_SEED_FILE: bus.pepSeedFile('acme', pep),
      ERP_SPOOL_DIR: spool,
    },
    readyUrl: `${plan.url(name)}/healthz`,
  };
}

/** Passwords are made once and kept with the stack, so that a restarted one knows the same people. */
function passwords(file: string): Record<string, string> {
  if (!existsSync(file)) {
    const made = Object.fromEntries(
      [...Object.keys(PEOPLE), ...OTHERS].map((user) => [
        user,
        randomBytes(9).toString('base64url'),
      ]),
    );
    writeFileSync(file, JSON.stringify(made), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
}

/** Gives a running stack its tenants, people, agents and guardrails. */
export async function loadOrganisation(stack: Stack): Promise<void> {
  publishAgentKeys(stack);
  await load('registry', ['--dir', join(repositoryRoot, 'demo', 'tenant')], stack);
  await load('pdp', ['--dir', join(repositoryRoot, 'demo', 'tenant')], stack);
}

/** Makes tenants of a running stack what the folders in `dir` say, as an administrator would. */
export async function loadTenants(stack: Stack, dir: string): Promise<void> {
  await load('registry', ['--dir', dir], stack);
}

/** The registry is given public keys only: what an agent's owner would send to its administrators. */
function publishAgentKeys({ keys, plan }: Stack): void {
  mkdirSync(plan.path('agent-keys'), { recursive: true });
  for (const { id } of AGENTS) {
    const set = { keys: keys.publicKeys(keys.agentFile(id)) };
    writeFileSync(plan.path('agent-keys', `${id}.jwks.json`), JSON.stringify(set));
  }
}

/** Forgets everything that a stack in `dir` kept: keys, databases, streams. It must not run. */
export function resetDemoStack(dir: string): void {
  removeStack(dir);
}

/** Runs the loader of a service, as an administrator would, with that service's own environment. */
async function load(service: string, args: string[], stack: Stack): Promise<void> {
  const env = {
    PATH: process.env['PATH'],
    REMIT_LOAD_IDP_ISSUER: stack.urls['idp'],
    REMIT_LOAD_ERP_AUDIENCE: stack.urls['erp'],
    REMIT_LOAD_AGENT_KEYS: stack.plan.path('agent-keys'),
  };
  await run(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      `--env-file=${stack.plan.path('env', `${service}.env`)}`,
      join(repositoryRoot, 'services', service, 'src', 'load.ts'),
      ...args,
    ],
    { env, cwd: repositoryRoot },
  );
}

/** What `dev.json` says of a running stack. */
export function describe(stack: Stack): DevFile {
  const { plan, urls, keys, bus } = stack;
  const people = passwords(plan.path('people.json'));
  const services = ['issuer', 'pdp', 'revocation', 'audit', 'registry'];
  const erpUrl = urls['erp'] as string;
  return {
    v: 1,
    tenant: 'acme',
    urls: Object.fromEntries(Object.entries(urls).filter(([name]) => name !== 'nats')),
    issuer: `${urls['issuer']}/t/acme`,
    erp_audience: erpUrl,
    trust_file: stack.trustFile,
    app: { issuer: urls['idp'] as string, client_id: APP.id, redirect_uri: APP.redirectUri },
    clients: AGENTS.map(({ id, bearer }) => ({ id, key_file: keys.agentFile(id), bearer })),
    users: Object.entries(PEOPLE).map(([id, groups]) => ({
      id,
      password: people[id] as string,
      groups,
    })),
    nats: {
      url: urls['nats'] as string,
      server: `${stack.natsServer.version}, ${stack.natsServer.source}`,
      users: [
        { name: 'operator', account: 'REMIT', seed_file: bus.seedFile('operator') },
        { name: 'siem', account: 'SIEM_siem', seed_file: bus.siemSeedFile('siem') },
        { name: 'erp-1', account: 'PEP_acme_erp-1', seed_file: bus.pepSeedFile('acme', 'erp-1') },
      ],
    },
    postgres: {
      host: '127.0.0.1',
      port: plan.port('postgres'),
      roles: {
        ...Object.fromEntries(
          services.flatMap((service) => [
            [service, stack.serviceDatabaseUrl(service, 'app')],
            [`${service}_owner`, stack.serviceDatabaseUrl(service, 'owner')],
          ]),
        ),
        erp: stack.databaseUrl('erp'),
      },
    },
    examples: [
      {
        says: 'Alice’s agent reads a supplier',
        command: 'npm run -s dev -- call alice GET /suppliers/S-100',
      },
      {
        says: 'the same with plain curl',
        command: `curl -H "authorization: Bearer $(npm run -s dev -- token alice supplier-risk-summary --agent curl-agent)" ${erpUrl}/suppliers/S-100`,
      },
      { says: 'what the ledger says of a decision', command: 'npm run -s dev -- record DECISION' },
      { says: 'every record as it happens', command: 'npm run tail' },
    ],
  };
}
