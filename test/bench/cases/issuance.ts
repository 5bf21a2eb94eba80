import {
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  randomUUID,
  sign,
  verify,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connectBus } from '@remit/bus';
import { streams, subjects } from '@remit/contracts';
import { type TestServers, testInfra, testServers } from '@remit/testkit';
import pg from 'pg';
import { details, ONE, startHeldWorld } from '../../../services/issuer/src/test/held.ts';
import { agent } from '../../../services/issuer/src/test/registry-bodies.ts';
import { rawConnection } from '../../attacks/raw-bus.ts';
import type { Bench } from '../harness.ts';

type Ready = { form: string; proof: string };

/**
 * The issuer as production builds it, on a real bus, a real database without fsync and a real spool,
 * asked over HTTP on this machine. Registry, pdp and revocation answer at once: their own work has
 * cases of its own, and what is left is what the issuer and the way to them cost. Assertions, proofs
 * and subject tokens are made before a round. The baseline signs the bytes of such a token with
 * node:crypto alone.
 */
async function started() {
  const cleanup = new AsyncDisposableStack();
  const servers = testServers();
  cleanup.defer(() => servers.close());
  const world = cleanup.use(await startHeldWorld({ servers }));
  const url = `${await world.app.http.listen({ host: '127.0.0.1', port: 0 })}/t/acme/token`;
  const file = JSON.parse(readFileSync(world.tokenKeysFile, 'utf8')) as Record<
    string,
    { keys: object[] }
  >;
  const key = createPrivateKey({ key: { ...file['acme']?.keys[0] }, format: 'jwk' });
  const { token } = world.held();
  const signed = Buffer.from(token.slice(0, token.lastIndexOf('.')));

  async function send({ form, proof }: Ready): Promise<void> {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', dpop: proof },
      body: form,
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`the issuer said ${response.status}: ${text}`);
  }

  const encode = (form: Awaited<ReturnType<typeof world.form>>): string =>
    new URLSearchParams(
      Object.entries(form).flatMap(([name, value]) =>
        typeof value === 'string' ? [[name, value] as [string, string]] : [],
      ),
    ).toString();
  /** Operations that take what `make` made for them. */
  function queued(make: () => Promise<Ready>) {
    const ready: Ready[] = [];
    return {
      prepare: async (operations: number) => {
        ready.length = 0;
        for (let n = 0; n < operations; n++) ready.push(await make());
      },
      subject: async () => {
        const next = ready.pop();
        if (!next) throw new Error('nothing is ready');
        await send(next);
      },
    };
  }
  return {
    servers,
    world,
    encode,
    queued,
    signed,
    baseline: () => sign(null, signed, key),
    close: () => cleanup.disposeAsync(),
  };
}

const launch: Bench = {
  name: 'issue-launch',
  says: 'a client launches a task over HTTP: assertion, proof, ID token, decision, record, ML-DSA-65',
  baselineSays: 'one bare ML-DSA-65 signature of the same bytes',
  targetRatio: 4,
  perRound: 60,
  async setup() {
    const { world, encode, queued, baseline, close } = await started();
    const make = async () => ({ form: encode(await world.form()), proof: world.proof() });
    return { ...queued(make), baseline, close };
  },
};

/**
 * What a launch cannot do without, one after the other as its order demands: a request over HTTP to a
 * server that only answers; five times a NATS round trip with an Ed25519 signature and its check; two
 * rows in PostgreSQL, since the third is written meanwhile; the signatures of assertion, proof and ID
 * token checked; the token signed; one publish to a stream.
 */
async function partsOf(servers: TestServers, token: Buffer, signToken: () => Buffer) {
  const cleanup = new AsyncDisposableStack();
  // A bus of their own: the fakes would answer on the other.
  const infra = cleanup.use(await testInfra({ servers, services: ['issuer'] }));
  const ledger = await connectBus({ url: infra.natsUrl, name: 'audit', ...infra.creds('audit') });
  cleanup.defer(() => ledger.close());
  await ledger.ensureStream(streams.AUDIT);
  const echo = cleanup.use(await rawConnection(infra, infra.creds('pdp')));
  const asker = cleanup.use(await rawConnection(infra, infra.pepCreds('acme', 'erp-2')));
  echo.nc.subscribe('remit.rpc.pdp.*.*.*', {
    queue: 'pdp',
    callback: (_error, message) => void message.respond(message.data),
  });
  const waiting: (() => void)[] = [];
  asker.nc.subscribe('_R.erp-2.>', { callback: () => waiting.shift()?.() });
  await Promise.all([echo.nc.flush(), asker.nc.flush()]);
  const audit = await connectBus({
    url: infra.natsUrl,
    name: 'erp-1',
    ...infra.pepCreds('acme', 'erp-1'),
  });
  cleanup.defer(() => audit.close());
  const client = new pg.Client({
    connectionString: infra.databaseUrl('issuer'),
    options: '-c search_path=issuer -c remit.tenant=acme',
  });
  await client.connect();
  cleanup.defer(() => client.end());
  const ed25519 = generateKeyPairSync('ed25519');
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const payload = randomBytes(700);
  const options = { dsaEncoding: 'ieee-p1363' } as const;
  const signature = sign('sha256', payload, { key: p256.privateKey, ...options });

  async function ask(): Promise<void> {
    const answered = new Promise<void>((resolve) => waiting.push(resolve));
    const reply = `_R.erp-2.pdp.bench.${randomBytes(8).toString('hex')}`;
    asker.nc.publish('remit.rpc.pdp.evaluate.acme.erp-2', payload, { reply });
    await answered;
    const signed = sign(null, payload, ed25519.privateKey);
    if (!verify(null, payload, ed25519.publicKey, signed)) throw new Error('not verified');
  }
  const insert = () =>
    client.query({
      name: 'insert',
      text: `insert into dpop_proofs (tenant, jkt, jti_hash, expires_at) values ('acme', 'bench', $1, now())`,
      values: [randomUUID()],
    });
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      void (async () => {
        for (let n = 0; n < 3; n++) {
          verify('sha256', payload, { key: p256.publicKey, ...options }, signature);
        }
        await ask();
        await insert();
        for (let n = 0; n < 4; n++) await ask();
        await insert();
        signToken();
        await audit.publishRecord(
          subjects.audit('acme', 'erp-1', 'decision'),
          payload,
          randomUUID(),
        );
        response.end(token);
      })();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.defer(() => new Promise((resolve) => server.close(() => resolve())));
  cleanup.defer(() => server.closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const body = payload.toString('base64url').repeat(2);
  return {
    whole: async () => void (await (await fetch(url, { method: 'POST', body })).text()),
    close: () => cleanup.disposeAsync(),
  };
}

const overParts: Bench = {
  name: 'issue-over-its-parts',
  says: 'the same launch',
  baselineSays:
    'an HTTP request, 5 NATS round trips with Ed25519, 2 inserts, 3 checks, ML-DSA-65, a publish',
  perRound: 60,
  async setup() {
    const { servers, world, encode, queued, baseline, signed, close } = await started();
    const parts = await partsOf(servers, signed, baseline);
    const make = async () => ({ form: encode(await world.form()), proof: world.proof() });
    return {
      ...queued(make),
      baseline: parts.whole,
      close: async () => {
        await parts.close();
        await close();
      },
    };
  },
};

const delegation = (depth: number): Bench => ({
  name: `issue-exchange-depth-${depth}`,
  says: `a holder hands part of a token on: the child is ${depth} hops from the first`,
  baselineSays: 'one bare ML-DSA-65 signature of the same bytes',
  perRound: 40,
  async setup() {
    const { world, encode, queued, baseline, close } = await started();
    const earlier = Array.from({ length: depth - 1 }, (_, n) => `agent-${n}`);
    const agents = world.services.tenants.get('acme')?.agents;
    for (const id of earlier) {
      agents?.set(id, { body: agent(id, world.analyst.client), status: 'active' });
    }
    const { token } = world.held({
      actors: [...earlier, 'procurement-agent'],
      lineage: earlier.map((id) => `token-of-${id}`),
      depth: { used: earlier.length, max: 8 },
    });
    const make = async () => ({
      form: encode({
        ...(await world.form()),
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        actor_token: world.actorToken(),
        actor_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        authorization_details: details(ONE),
      }),
      proof: world.proofFor(token),
    });
    return { ...queued(make), baseline, close };
  },
});

export const issuances: readonly Bench[] = [launch, overParts, ...[1, 2, 3, 4, 5].map(delegation)];
