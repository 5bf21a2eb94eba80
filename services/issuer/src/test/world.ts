import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectBus } from '@remit/bus';
import { createProof, importSigner, type Signer } from '@remit/capability';
import { type AuditMessage, streams } from '@remit/contracts';
import { createDatabase, createLogger } from '@remit/service-kit';
import {
  type FixedClock,
  fixedClock,
  type TestInfra,
  type TestServers,
  testInfra,
} from '@remit/testkit';
import { expect } from 'vitest';
import { build } from '../app.ts';
import type { IssuerTables } from '../store/schema.ts';
import { type FakeIdp, startFakeIdp } from './fake-idp.ts';
import { type FakeServices, startFakeServices } from './fake-services.ts';
import { agent } from './registry-bodies.ts';

const PUBLIC_URL = 'https://issuer.test';
export const ISSUER = `${PUBLIC_URL}/t/acme`;
export const TOOL = 'https://erp.test';
const TOKEN_URL = `${ISSUER}/token`;

type Proxy = Awaited<ReturnType<TestInfra['throughProxy']>>['proxy'];
type Form = Record<string, string | readonly string[] | undefined>;

/** An answer of the token endpoint. */
export type Answer = {
  status: number;
  headers: Record<string, unknown>;
  body: Record<string, unknown>;
};

/** The issuer as production builds it, on a real bus and a real database. */
export type World = AsyncDisposable & {
  readonly infra: TestInfra;
  readonly app: Awaited<ReturnType<typeof build>>;
  readonly services: FakeServices;
  readonly idp: FakeIdp;
  readonly clock: FixedClock;
  /** The client key of procurement-agent, and the key of its proofs. */
  readonly clientKey: Signer;
  readonly proofKey: Signer;
  /** The private client key of an agent. */
  privateJwk(agent: string): Record<string, string>;
  readonly tokenKeysFile: string;
  readonly logLines: string[];
  /** What is between the issuer and its servers, where a test asked for faults. */
  readonly faults: Record<'bus' | 'database', Proxy> | undefined;
  /** A client assertion; `undefined` takes a default claim away. */
  assertion(claims?: Record<string, unknown>, header?: Record<string, unknown>): string;
  proof(more?: Partial<Parameters<typeof createProof>[0]>): string;
  /** A good request for a token, with some parameters replaced or, as undefined, left out. */
  form(more?: Form): Promise<Form>;
  post(
    form: Form,
    options?: { proof?: string | null; tenant?: string; headers?: object },
  ): Promise<Answer>;
  /** A second replica on the same bus and database. */
  replica(): Promise<Pick<World, 'post'> & AsyncDisposable>;
  /** Sends a good request, with some parameters replaced. */
  ask(more?: Form, options?: { proof?: string | null }): Promise<Answer>;
  /** What the ledger would be given since the last look, waiting until there are `count`. */
  records(count: number): Promise<AuditMessage[]>;
  /** Rows of the tenant acme. */
  rows(
    table: 'actor_tokens' | 'assertions' | 'dpop_proofs' | 'tasks',
  ): Promise<Record<string, unknown>[]>;
};

export const DETAILS = [
  {
    type: 'urn:remit:task:1',
    task_type: 'supplier-risk-summary',
    slots: { supplier: 'S-100' },
  },
];

export async function startWorld(
  options: {
    clock?: FixedClock;
    publicUrl?: string;
    faults?: boolean;
    nonceSeconds?: number;
    servers?: TestServers;
  } = {},
): Promise<World> {
  const cleanup = new AsyncDisposableStack();
  const clock = options.clock ?? fixedClock();
  const infra = cleanup.use(
    await testInfra({
      ...(options.servers && { servers: options.servers }),
      services: ['issuer'],
      agents: ['procurement-agent', 'curl-agent'],
    }),
  );
  const services = cleanup.use(await startFakeServices(infra));
  const idp = cleanup.use(await startFakeIdp(clock.nowSeconds));
  const clientKey = readSigner(infra.keys.agentFile('procurement-agent'));
  const proofKey = readSigner(infra.keys.agentProofFile('procurement-agent'));
  const curlKey = readSigner(infra.keys.agentFile('curl-agent'));
  for (const tenant of ['acme', 'globex']) {
    services.tenants.set(tenant, {
      body: { kind: 'tenant', id: tenant, idps: [{ issuer: idp.issuer }], admin_groups: {} },
      agents: new Map([
        ['procurement-agent', { body: agent('procurement-agent', clientKey), status: 'active' }],
        ['curl-agent', { body: agent('curl-agent', curlKey, { bearer: true }), status: 'active' }],
      ]),
      users: new Map([[`${idp.issuer} alice-at-idp`, { id: 'alice', status: 'active' }]]),
      taskTypes: new Set(['supplier-risk-summary', 'never-started']),
      audiences: new Set([TOOL]),
    });
  }

  const faults = options.faults
    ? {
        database: await infra.throughProxy(infra.databaseUrl('issuer')),
        bus: await infra.throughProxy(infra.natsUrl),
      }
    : undefined;
  const logLines: string[] = [];
  const tokenKeysFile = infra.keys.tokenKeysFile;
  const replica = (spool: string) =>
    build(
      {
        httpHost: '127.0.0.1',
        httpPort: 0,
        publicUrl: options.publicUrl ?? PUBLIC_URL,
        databaseUrl: faults?.database.url ?? infra.databaseUrl('issuer'),
        natsUrl: faults?.bus.url ?? infra.natsUrl,
        natsSeed: infra.creds('issuer').seed,
        trustFile: infra.trustFile,
        spoolDir: join(infra.tmpDir, spool),
        logLevel: 'debug',
        production: false,
        insecureDatabase: true,
        tokenKeysFile,
        dpopWindowSeconds: 30,
        dpopNonceSeconds: options.nonceSeconds ?? 0,
      },
      {
        clock,
        log: createLogger({
          service: 'issuer',
          instance: 'test',
          level: 'debug',
          destination: { write: (line: string) => void logLines.push(line) },
        }),
      },
    );
  const app = await replica('spool');
  cleanup.defer(() => app.stop());

  const audit = await connectBus({
    url: infra.natsUrl,
    user: 'audit',
    seed: infra.creds('audit').seed,
    name: 'audit',
  });
  cleanup.defer(() => audit.close());
  await audit.ensureStream(streams.AUDIT);
  const kept: AuditMessage[] = [];
  let arrived = (): void => {};
  const consumption = audit.consume(
    { stream: 'AUDIT', durable: 'ingest', consumer: {} },
    async (messages) => {
      for (const { data } of messages) {
        kept.push((JSON.parse(Buffer.from(data).toString()) as { data: AuditMessage }).data);
      }
      arrived();
    },
  );
  await consumption.ready;

  const log = createLogger({ service: 'test', instance: 'test', level: 'fatal' });
  const database = await createDatabase<IssuerTables>({
    url: infra.databaseUrl('issuer'),
    schema: 'issuer',
    log,
    insecure: true,
  });
  cleanup.defer(() => database.close());

  const world: World = {
    infra,
    app,
    services,
    idp,
    clock,
    clientKey,
    proofKey,
    privateJwk: (name) => readKey(infra.keys.agentFile(name)),
    tokenKeysFile,
    faults: faults && { database: faults.database.proxy, bus: faults.bus.proxy },
    logLines,
    assertion: (claims = {}, header = {}) =>
      clientKey.sign(
        { typ: 'client-authentication+jwt', ...header },
        {
          iss: 'procurement-agent',
          sub: 'procurement-agent',
          aud: ISSUER,
          jti: randomUUID(),
          iat: clock.nowSeconds(),
          exp: clock.nowSeconds() + 60,
          ...claims,
        },
      ),
    proof: (more = {}) =>
      createProof({
        signer: proofKey,
        method: 'POST',
        url: TOKEN_URL,
        nowSeconds: clock.nowSeconds(),
        jti: randomUUID(),
        ...more,
      }),
    form: async (more = {}) => ({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: world.assertion(),
      subject_token: await idp.idToken(),
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      resource: TOOL,
      authorization_details: JSON.stringify(DETAILS),
      ...more,
    }),
    post: async (form, { proof = world.proof(), tenant = 'acme', headers = {} } = {}) => {
      return send(app, {
        form,
        tenant,
        headers: { ...(proof !== null && { dpop: proof }), ...headers },
      });
    },
    replica: async () => {
      const second = await replica('spool-2');
      return {
        post: (form, { proof = world.proof() } = {}) =>
          send(second, {
            form,
            tenant: 'acme',
            headers: { ...(proof !== null && { dpop: proof }) },
          }),
        [Symbol.asyncDispose]: () => second.stop(),
      };
    },
    ask: async (more = {}, askOptions = {}) => world.post(await world.form(more), askOptions),
    records: async (count) => {
      while (kept.length < count) {
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      }
      return kept.splice(0);
    },
    rows: (table) =>
      database.withTenant('acme', (trx) => trx.selectFrom(table).selectAll().execute()),
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
  return world;
}

async function send(
  app: Awaited<ReturnType<typeof build>>,
  request: { form: Form; tenant: string; headers: object },
): Promise<Answer> {
  const response = await app.http.inject({
    method: 'POST',
    url: `/t/${request.tenant}/token`,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...request.headers },
    payload: encode(request.form),
  });
  return { status: response.statusCode, headers: response.headers, body: response.json() };
}

function readSigner(file: string): Signer {
  return importSigner(readKey(file));
}

function readKey(file: string): Record<string, string> {
  const { keys } = JSON.parse(readFileSync(file, 'utf8')) as { keys: Record<string, string>[] };
  return keys[0] ?? {};
}

/** Writes the token key file anew, as an operator would. */
export function writeTokenKeys(file: string, keys: unknown): void {
  writeFileSync(file, JSON.stringify(keys));
}

function encode(form: Form): string {
  const pairs = Object.entries(form).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => [name, one] as [string, string]),
  );
  return new URLSearchParams(pairs).toString();
}

/** Runs a request that is refused, and reads that nothing was decided, registered or kept for it. */
export async function expectNothingChanged(
  world: World,
  work: () => Promise<unknown>,
): Promise<void> {
  const before = await world.rows('tasks');
  await work();
  const methods = world.services.asked.map(({ method }) => method);
  expect(methods).not.toContain('pdp.mint');
  expect(methods).not.toContain('revocation.register');
  expect(await world.rows('tasks')).toEqual(before);
}
