import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Bench } from '../harness.ts';
import { startedCheck } from './pep-check.ts';

// What a user would pick instead. They are no dependencies of the workspace (Cerbos alone is 100 MB), so
// these cases are there once `npm ci --ignore-scripts --prefix test/bench/peers` ran.

const folder = join(import.meta.dirname, '../peers');
const modules = join(folder, 'node_modules');
const CERBOS = join(modules, '@cerbos/cerbos-linux-x64/cerbos-linux-x64');
const load = (file: string) => import(pathToFileURL(join(modules, file)).href) as Promise<unknown>;

type Authorizer = {
  buildAuthenticated(token: object): {
    authorizeWithLimits(limits: object): number;
    free(): void;
  };
};
type Biscuits = {
  biscuit(parts: TemplateStringsArray): { build(key: object): { toBase64(): string } };
  authorizer(parts: TemplateStringsArray, ...values: unknown[]): Authorizer;
  KeyPair: new (algorithm: unknown) => { getPrivateKey(): object; getPublicKey(): object };
  SignatureAlgorithm: { Ed25519: unknown };
  Biscuit: { fromBase64(text: string, key: object): { free(): void } };
};

/** Verifies a Biscuit of one block and authorizes what the PEP's token allows, as its handbook does. */
async function startedBiscuit(): Promise<() => void> {
  const { biscuit, authorizer, KeyPair, SignatureAlgorithm, Biscuit } = (await load(
    '@biscuit-auth/biscuit-wasm/module/biscuit.js',
  )) as Biscuits;
  const pair = new KeyPair(SignatureAlgorithm.Ed25519);
  const text = biscuit`user("alice"); actor("procurement-agent");
    right("suppliers.read", "erp/suppliers/S-100");
    check if time($time), $time <= 2100-01-01T00:00:00Z;`
    .build(pair.getPrivateKey())
    .toBase64();
  const key = pair.getPublicKey();
  // The default of 1 ms is passed on a busy machine.
  const limits = { max_facts: 1_000, max_iterations: 100, max_time_micro: 1_000_000 };
  return () => {
    const token = Biscuit.fromBase64(text, key);
    const built = authorizer`time(${new Date()});
      operation("suppliers.read", "erp/suppliers/S-100");
      allow if operation($action, $resource), right($action, $resource);`.buildAuthenticated(token);
    built.authorizeWithLimits(limits);
    built.free();
    token.free();
  };
}

const biscuitSays = 'Biscuit (wasm) verifies an Ed25519 token of one block and authorizes the read';

const biscuitSeen: Bench = {
  name: 'peer-biscuit',
  says: biscuitSays,
  baselineSays: 'a PEP checks a token that it has seen before (the ratio should pass 40)',
  perRound: 500,
  async setup() {
    const { bearer, presented, check } = await startedCheck();
    const presentation = presented(bearer());
    return { subject: await startedBiscuit(), baseline: () => check(presentation) };
  },
};

const biscuitNew: Bench = {
  name: 'peer-biscuit-new',
  says: biscuitSays,
  baselineSays: 'a PEP checks a new ML-DSA-65 token',
  perRound: 400,
  async setup() {
    const { bearer, presented, check } = await startedCheck();
    let tokens: string[] = [];
    return {
      prepare: async (operations) => {
        tokens = Array.from({ length: operations }, bearer);
      },
      subject: await startedBiscuit(),
      baseline: () => check(presented(tokens.pop() as string)),
    };
  },
};

type Cerbos = { GRPC: new (target: string, options: { tls: false }) => CerbosClient };
type CerbosClient = { isAllowed(request: object): Promise<boolean>; close(): void };

const cerbos: Bench = {
  name: 'peer-cerbos',
  says: 'a Cerbos PDP on this machine decides the read over gRPC',
  baselineSays: 'a PEP checks a token that it has seen before (the ratio should pass 60)',
  perRound: 500,
  async setup() {
    const cleanup = new AsyncDisposableStack();
    const dir = mkdtempSync(join(tmpdir(), 'remit-cerbos-'));
    cleanup.defer(() => rmSync(dir, { recursive: true, force: true }));
    copyFileSync(join(folder, 'supplier.yaml'), join(dir, 'supplier.yaml'));
    const socket = join(dir, 'grpc.sock');
    const config = {
      server: { httpListenAddr: '127.0.0.1:0', grpcListenAddr: `unix:${socket}` },
      storage: { driver: 'disk', disk: { directory: dir } },
      telemetry: { disabled: true },
    };
    writeFileSync(join(dir, '.cerbos.json'), JSON.stringify(config));
    const args = ['server', `--config=${join(dir, '.cerbos.json')}`, '--log-level=error'];
    const server = spawn(CERBOS, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const exited = once(server, 'exit');
    cleanup.defer(async () => {
      server.kill('SIGTERM');
      await exited;
    });
    const { GRPC } = (await load('@cerbos/grpc/lib/index.js')) as Cerbos;
    const client = new GRPC(`unix:${socket}`, { tls: false });
    cleanup.defer(() => client.close());
    const asked = {
      principal: {
        id: 'procurement-agent',
        roles: ['procurement-agent'],
        attr: { user: 'alice' },
      },
      resource: { kind: 'supplier', id: 'erp/suppliers/S-100', attr: {} },
      action: 'suppliers.read',
    };
    while (!existsSync(socket)) {
      if (server.exitCode !== null) throw new Error('Cerbos did not start');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { bearer, presented, check } = await startedCheck();
    const presentation = presented(bearer());
    return {
      subject: async () => {
        if (!(await client.isAllowed(asked))) throw new Error('Cerbos refused');
      },
      baseline: () => check(presentation),
      close: () => cleanup.disposeAsync(),
    };
  },
};

export const peers: readonly Bench[] = [
  ...(existsSync(join(modules, '@biscuit-auth')) ? [biscuitSeen, biscuitNew] : []),
  ...(existsSync(CERBOS) ? [cerbos] : []),
];
