import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAgent } from '@remit/agent';
import { repositoryRoot } from '@remit/stack';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPoints, type Points } from '../attacks/points.ts';
import { freshJwk } from '../attacks/stage.ts';

// The programs of packages/pep/README.md as they stand there, before a real revocation service.

const project = mkdtempSync(join(tmpdir(), 'remit-readme-'));
let points: Points;
let keys: Server;
const running: (() => Promise<void>)[] = [];
beforeAll(async () => {
  points = await openPoints();
  keys = createServer((_request, response) => {
    response.end(JSON.stringify({ keys: points.rig.infra.keys.tokenPublicKeys('acme') }));
  });
  await new Promise<void>((resolve) => keys.listen(0, '127.0.0.1', resolve));
  symlinkSync(join(repositoryRoot, 'test/node_modules'), join(project, 'node_modules'));
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
});
afterAll(async () => {
  for (const stop of running) await stop();
  keys?.close();
  await points?.[Symbol.asyncDispose]();
  rmSync(project, { recursive: true, force: true });
});

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Runs a program of the page; returns its audience once it listens. */
async function run(file: string): Promise<string> {
  const page = readFileSync(join(repositoryRoot, 'packages/pep/README.md'), 'utf8');
  const blocks = [...page.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
  const code = blocks.find((block) => block.startsWith(`// ${file}\n`));
  if (!code) throw new Error(`the page has no ${file}`);
  const port = await freePort();
  const audience = `http://127.0.0.1:${port}`;
  const { infra } = points.rig;
  const trust = structuredClone(infra.trust());
  const { port: keysPort } = keys.address() as AddressInfo;
  if (trust.tenants['acme']) trust.tenants['acme'].jwks_uri = `http://127.0.0.1:${keysPort}/jwks`;
  writeFileSync(join(project, file), code);
  writeFileSync(join(project, 'trust.json'), JSON.stringify(trust));
  writeFileSync(join(project, 'seed'), infra.pepCreds('acme', 'erp-1').seed, { mode: 0o600 });
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
    cwd: project,
    env: {
      AUDIENCE: audience,
      TRUST_FILE: './trust.json',
      NATS_URL: infra.natsUrl,
      NATS_SEED_FILE: './seed',
      PORT: String(port),
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  running.push(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  await expect
    .poll(
      () =>
        fetch(audience).then(
          () => true,
          () => false,
        ),
      { timeout: 10_000 },
    )
    .toBe(true);
  return audience;
}

async function capabilityFor(audience: string) {
  const { token, task } = await points.mint({ audience });
  const agent = createAgent({
    issuer: 'https://issuer.test',
    clientId: 'procurement-agent',
    key: freshJwk(),
    proofKey: points.holderJwk,
  });
  return agent.receive({
    token,
    audience,
    expiresAt: new Date(Date.now() + 60_000).toISOString(),
    permissions: [],
    task: { id: task.id, type: task.type, until: 0 },
  });
}

test('the tool of the PEP’s page takes an order whose body is proved, and refuses the rest', async () => {
  const audience = await run('tool.js');
  const capability = await capabilityFor(audience);
  const order = (amount: number) =>
    capability.fetch(`${audience}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ amount }),
    });
  const taken = await order(100);
  expect([taken.status, await taken.json()]).toEqual([200, { ordered: { amount: 100 } }]);
  const refused = await order(6_000);
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
    403,
    `DPoP error="insufficient_scope", algs="ES256 Ed25519", resource_metadata="${audience}/.well-known/oauth-protected-resource"`,
  ]);
  const metadata = await fetch(`${audience}/.well-known/oauth-protected-resource`);
  expect(await metadata.json()).toMatchObject({ resource: audience });
});

test('the server of the PEP’s page without Fastify reads for whoever may, and says why not', async () => {
  for (const stop of running.splice(0)) await stop();
  const audience = await run('guarded.js');
  const capability = await capabilityFor(audience);
  const read = await capability.fetch(`${audience}/suppliers/S-7`);
  expect([read.status, await read.json()]).toEqual([
    200,
    { read: 'erp/suppliers/S-7', readFor: 'alice' },
  ]);
  const bare = await fetch(`${audience}/suppliers/S-7`);
  expect([bare.status, await bare.json()]).toEqual([401, { code: 'token_missing' }]);
  const named = /resource_metadata="([^"]+)"/.exec(bare.headers.get('www-authenticate') ?? '')?.[1];
  expect(await (await fetch(named ?? '')).json()).toMatchObject({ resource: audience });
});
