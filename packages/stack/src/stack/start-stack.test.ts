import { statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matches, trustFile } from '@remit/contracts';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { type Stack, type StackOptions, startStack } from '../index.ts';

const options = (runDir: string): StackOptions => ({
  ports: 'free',
  tenants: ['acme'],
  members: { peps: { acme: ['erp-1'] }, siems: [] },
  agents: ['procurement-agent'],
  runDir,
  program: () => join(import.meta.dirname, 'fake', 'main.ts'),
});

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function withStack(
  change: Partial<StackOptions>,
  use: (stack: Stack) => Promise<void>,
): Promise<void> {
  const runDir = await mkdtemp(join(tmpdir(), 'remit-run-'));
  try {
    const stack = await startStack({ ...options(runDir), ...change });
    try {
      await use(stack);
    } finally {
      await stack.stopAll();
    }
  } finally {
    await rm(runDir, { recursive: true });
  }
}

// Real servers are started and stopped five times; that takes its time on a busy machine.
describe('the stack', { timeout: 60_000 }, () => {
  test('brings up servers, services and extras, and leaves no process and no folder', async () => {
    let pids: number[] = [];
    let dir = '';
    await withStack(
      {
        services: ['issuer'],
        databases: ['erp'],
        extras: {
          erp: ({ plan, databaseUrl }) => ({
            program: join(import.meta.dirname, 'fake', 'main.ts'),
            env: { REMIT_HTTP_PORT: String(plan.port('erp')), ERP_DATABASE: databaseUrl('erp') },
            readyUrl: `${plan.url('erp')}/readyz`,
          }),
        },
      },
      async (stack) => {
        dir = stack.plan.dir;
        pids = Object.values(stack.pids());
        expect(Object.keys(stack.pids()).toSorted()).toEqual([
          ...['erp', 'issuer', 'nats', 'postgres'],
        ]);
        const given = await (await fetch(`${stack.urls['issuer']}/readyz`)).json();
        expect(given).toEqual([
          ...['REMIT_PARENT_WATCH', 'REMIT_HTTP_HOST', 'REMIT_HTTP_PORT', 'REMIT_PUBLIC_URL'],
          ...['REMIT_DATABASE_URL', 'REMIT_NATS_URL', 'REMIT_NATS_USER', 'REMIT_NATS_SEED_FILE'],
          ...['REMIT_TRUST_FILE', 'REMIT_SPOOL_DIR', 'REMIT_TOKEN_KEYS_FILE'],
        ]);
        const trust: unknown = JSON.parse(await readFile(stack.trustFile, 'utf8'));
        expect(matches(trustFile, trust)).toBe(true);
        for (const file of [
          stack.trustFile,
          stack.keys.tokenKeysFile,
          stack.keys.agentFile('procurement-agent'),
          stack.bus.seedFile('issuer'),
          stack.bus.configFile,
        ]) {
          expect(statSync(file).mode & 0o777).toBe(0o600);
        }
        const erp = new pg.Client({ connectionString: stack.databaseUrl('erp') });
        await erp.connect();
        await erp.query('create table suppliers (id text)');
        await erp.end();
        const issuer = new pg.Client({
          connectionString: stack.serviceDatabaseUrl('issuer', 'app').replace(/remit$/, 'erp'),
        });
        await expect(issuer.connect()).rejects.toThrow('permission denied for database "erp"');
      },
    );
    expect(pids.filter(alive)).toEqual([]);
    expect(() => statSync(dir)).toThrow('ENOENT');
  });

  test('runs replicas with a port and a spool of their own, and each over the lines it is given', async () => {
    const lines: string[] = [];
    await withStack(
      {
        services: ['pdp'],
        replicas: 2,
        serviceEnv: { 'pdp-2': { REMIT_LOG_LEVEL: 'warn' } },
        lineTo: (program, server) => {
          lines.push(`${program} ${server}`);
          return Promise.resolve(lines.length);
        },
      },
      async (stack) => {
        expect(Object.keys(stack.pids()).toSorted()).toEqual(['nats', 'pdp', 'pdp-2', 'postgres']);
        expect(lines).toEqual(['pdp nats', 'pdp-2 nats', 'pdp postgres', 'pdp-2 postgres']);
        const { parseEnv } = await import('node:util');
        const env = parseEnv(await readFile(stack.plan.path('env', 'pdp-2.env'), 'utf8'));
        expect(env).toMatchObject({
          REMIT_HTTP_PORT: String(stack.plan.port('pdp-2')),
          REMIT_PUBLIC_URL: stack.urls['pdp'],
          REMIT_NATS_URL: 'nats://127.0.0.1:2',
          REMIT_SPOOL_DIR: stack.plan.path('spool', 'pdp-2'),
          REMIT_LOG_LEVEL: 'warn',
        });
      },
    );
  });

  test('keeps what was committed when PostgreSQL is stopped and started, on the same port', async () => {
    await withStack({ services: [] }, async (stack) => {
      const client = async (): Promise<pg.Client> => {
        const connected = new pg.Client({ connectionString: stack.superuserUrl('remit') });
        await connected.connect();
        return connected;
      };
      const before = await client();
      await before.query('create table kept as select 7 as n');
      await before.end();
      await stack.restart('postgres');
      await stack.restart('nats');
      const after = await client();
      expect((await after.query('select n from kept')).rows).toEqual([{ n: 7 }]);
      await after.end();
    });
  });

  test('prints the command for a service that is left out, and the command works', async () => {
    const lines: string[] = [];
    await withStack(
      { without: ['pdp'], services: ['pdp', 'issuer'], onProgress: (line) => lines.push(line) },
      async (stack) => {
        expect(Object.keys(stack.pids()).toSorted()).toEqual(['issuer', 'nats', 'postgres']);
        expect(lines.find((line) => line.startsWith('run pdp yourself: '))).toContain(
          `--env-file=${stack.plan.path('env', 'pdp.env')} packages/stack/src/stack/fake/main.ts`,
        );
        const { parseEnv } = await import('node:util');
        const env = parseEnv(await readFile(stack.plan.path('env', 'pdp.env'), 'utf8'));
        expect(env['REMIT_DATABASE_URL']).toBe(stack.serviceDatabaseUrl('pdp', 'app'));
      },
    );
  });

  test('a service that ends at its start is named with its log, and nothing is left', async () => {
    const runDir = await mkdtemp(join(tmpdir(), 'remit-run-'));
    const broken = startStack({
      ...options(runDir),
      services: ['issuer'],
      program: () => join(import.meta.dirname, 'fake', 'absent.ts'),
    });
    await expect(broken).rejects.toThrow('issuer has no program');
    await rm(runDir, { recursive: true });
  });

  test('a start that is called off ends what runs already', async () => {
    const runDir = await mkdtemp(join(tmpdir(), 'remit-run-'));
    const calledOff = new AbortController();
    const starting = startStack({
      ...options(runDir),
      services: ['issuer'],
      signal: calledOff.signal,
      onProgress: (line) => {
        if (line.startsWith('nats-server')) calledOff.abort(new Error('called off'));
      },
    });
    await expect(starting).rejects.toThrow('called off');
    expect(await readdir(runDir)).toEqual([]);
    await rm(runDir, { recursive: true });
  });

  test('refuses to leave out what there is not', async () => {
    await expect(startStack({ ...options('/nowhere'), without: ['nope'] })).rejects.toThrow(
      'there is no nope to leave out; there are audit, issuer, pdp, registry, revocation.',
    );
  });
});
