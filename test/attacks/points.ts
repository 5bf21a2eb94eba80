import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { scope } from '@remit/capability/scope';
import {
  type Capability,
  capabilityPayload,
  createProof,
  importSigner,
  type Signer,
} from '@remit/capability/token';
import { createPep, type Pep, type PepOptions } from '@remit/pep';
import { type RemitPluginOptions, remit } from '@remit/pep/fastify';
import fastify, { type FastifyRequest } from 'fastify';
import { createRig, type Rig } from '../../services/revocation/src/test/rig.ts';
import { freshJwk } from './stage.ts';

/** All instances of the tool have this audience, as behind a load balancer. */
export const AUDIENCE = 'https://erp.test';

/** One instance of a tool: a PEP and a server on a socket of its own, and what ran there. */
export type Point = { pep: Pep; url: string; ran: unknown[]; close(): Promise<void> };

export type PointAnswer = {
  status: number;
  code: string | undefined;
  headers: Headers;
  body: string;
};

/** Enforcement points on a real bus with a real revocation service; tokens signed with the tenant's key. */
export type Points = AsyncDisposable & {
  rig: Rig;
  issuerKey: Signer;
  holder: Signer;
  holderJwk: Record<string, unknown>;
  mint(over?: Partial<Capability>): Promise<Capability & { token: string }>;
  prove(token: string, over?: Partial<Parameters<typeof createProof>[0]>): string;
  /** Headers of a read of S-100 with a token and a proof of its own. */
  bound(
    token: string,
    over?: Partial<Parameters<typeof createProof>[0]>,
  ): { authorization: string; dpop: string };
  /** An instance that acts in the name of `user`, by default `erp-1`. */
  open(
    user: 'erp-1' | 'erp-2',
    pep?: Partial<PepOptions>,
    plugin?: Omit<RemitPluginOptions, 'pep'>,
  ): Promise<Point>;
  /** Closes the points that are open, all but those elsewhere. */
  closeAll(): Promise<void>;
  /** The same in a process of its own, whose wall clock can be set off. */
  openElsewhere(): Promise<{ url: string; shiftClock(hours: number): Promise<void> }>;
};

export const newId = () => randomBytes(16).toString('base64url');
const nowSeconds = () => Math.floor(Date.now() / 1_000);

export async function openPoints(): Promise<Points> {
  const cleanup = new AsyncDisposableStack();
  const rig = cleanup.use(await createRig());
  await rig.ready();
  const { infra } = rig;
  const keys = JSON.parse(readFileSync(infra.keys.tokenKeysFile, 'utf8')) as {
    acme: { keys: object[] };
  };
  const issuerKey = importSigner(keys.acme.keys[0]);
  const holderJwk = freshJwk();
  const holder = importSigner(holderJwk);
  const spool = () => {
    const dir = join(infra.tmpDir, `spool-point-${newId()}`);
    mkdirSync(dir);
    return dir;
  };

  const opened: Point[] = [];
  const closeAll = async () => {
    for (const point of opened.splice(0)) await point.close();
  };
  cleanup.defer(closeAll);

  const prove: Points['prove'] = (token, over = {}) =>
    createProof({
      signer: holder,
      method: 'GET',
      url: `${AUDIENCE}/suppliers/S-100`,
      accessToken: token,
      nowSeconds: Date.now() / 1_000,
      jti: newId(),
      ...over,
    });

  return {
    rig,
    issuerKey,
    holder,
    holderJwk,
    async mint(over = {}) {
      const { head } = await rig.check([]);
      const now = nowSeconds();
      const capability: Omit<Capability, 'status'> = {
        issuer: infra.trust().tenants['acme']?.issuer as string,
        audience: AUDIENCE,
        id: newId(),
        issuedAt: now,
        notBefore: now,
        expiresAt: now + 300,
        subject: 'alice',
        actors: ['procurement-agent'],
        clientId: 'procurement-agent',
        tenant: 'acme',
        task: { id: `task_${newId()}`, type: 'supplier-risk-summary' },
        scope: scope([
          { actions: ['suppliers.read'], resources: ['erp/suppliers/*'], args: [] },
          {
            actions: ['orders.create'],
            resources: ['erp/orders'],
            args: ['amount'],
            constraints: { amount: { max: 5_000 } },
          },
        ]),
        lineage: [],
        depth: { used: 0, max: 2 },
        rev: head,
        policy: { version: 'v1', decision: newId() },
        confirmation: { jkt: holder.kid },
        links: false,
        ...over,
      };
      const status = await rig.register({
        jti: capability.id,
        lineage: [],
        rev: head,
        task: capability.task.id,
        actors: ['procurement-agent'],
        user: capability.subject,
        client: capability.clientId,
        keys: [issuerKey.kid, holder.kid],
      });
      const whole = { ...capability, status };
      return {
        ...whole,
        token: issuerKey.sign({ typ: 'at+jwt' }, capabilityPayload(whole)),
      };
    },
    prove,
    bound: (token, over) => ({ authorization: `DPoP ${token}`, dpop: prove(token, over) }),
    async open(user, pepOptions = {}, plugin = {}) {
      const pep = await createPep({
        tenant: 'acme',
        audience: AUDIENCE,
        trust: infra.trust(),
        nats: { url: infra.natsUrl, ...infra.pepCreds('acme', user) },
        spoolDir: spool(),
        fetch: async () => Response.json({ keys: infra.keys.tokenPublicKeys('acme') }),
        ...pepOptions,
      });
      const { url, ran, close } = await serve(pep, plugin);
      const point: Point = {
        pep,
        url,
        ran,
        async close() {
          await close();
          await pep.close();
        },
      };
      opened.push(point);
      return point;
    },
    closeAll,
    async openElsewhere() {
      const file = join(infra.tmpDir, `point-${newId()}.json`);
      const options = {
        trust: infra.trust(),
        nats: { url: infra.natsUrl, ...infra.pepCreds('acme', 'erp-2') },
        spoolDir: spool(),
        keys: infra.keys.tokenPublicKeys('acme'),
      };
      writeFileSync(file, JSON.stringify(options), { mode: 0o600 });
      const program = join(import.meta.dirname, 'point-with-own-clock.ts');
      const child = spawn(
        process.execPath,
        ['--disable-warning=ExperimentalWarning', program, file],
        { stdio: ['pipe', 'pipe', 'inherit'] },
      );
      cleanup.defer(async () => {
        child.stdin.end();
        if (child.exitCode === null) await once(child, 'exit');
      });
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const url = String((await lines.next()).value);
      return {
        url,
        async shiftClock(hours) {
          child.stdin.write(`${hours}\n`);
          await lines.next();
        },
      };
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}

/** Reads S-100 at a point. */
export async function call(url: string, headers: Record<string, string>): Promise<PointAnswer> {
  const response = await fetch(`${url}/suppliers/S-100`, { headers });
  const { status } = response;
  const body = await response.text();
  const code = /"code":"(\w+)"/.exec(body)?.[1];
  return { status, code, headers: response.headers, body };
}

/** The tool behind every point: a read, and an order whose proof has to be for its body. */
export async function serve(pep: Pep, plugin: Omit<RemitPluginOptions, 'pep'> = {}) {
  const app = fastify({ forceCloseConnections: true });
  const ran: unknown[] = [];
  await app.register(remit, { pep, ...plugin });
  const supplier = {
    action: 'suppliers.read',
    resource: ({ params }: FastifyRequest) => `erp/suppliers/${(params as { id: string }).id}`,
    args: () => ({}),
  };
  const order = {
    action: 'orders.create',
    resource: () => 'erp/orders',
    args: ({ body }: FastifyRequest) => body,
    bindBody: true,
  };
  app.get('/suppliers/:id', { config: { remit: supplier } }, async (request) => {
    ran.push(request.remit.operation.resource);
    return { ran: ran.length };
  });
  app.post('/orders', { config: { remit: order } }, async (request) => {
    ran.push(request.remit.operation.args);
    return { ran: ran.length };
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, ran, close: () => app.close() };
}
