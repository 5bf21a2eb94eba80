import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Agent, Capability } from '@remit/agent';
import { createProof, importSigner, type Signer } from '@remit/capability/token';
import { agentOf } from '@remit/cli';
import pg from 'pg';
import { expect } from 'vitest';
import { type DemoStack, startDemoStack } from '../../demo/stack.ts';
import { openWorld, type World } from '../../demo/world.ts';

/** How an attack on the tool must end. `by` is missing where nobody proved who they are. */
export type Refusal = {
  status: number;
  reason: string;
  by?: { user: string; agents: string[] };
};

export type Attack = {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string;
};

/** A whole running demo, with what an attacker may have got hold of. */
export type Stage = AsyncDisposable & {
  readonly demo: DemoStack;
  readonly world: World;
  /** The key that procurement-agent's tokens are bound to. */
  readonly proofKey: Signer;
  readonly agent: Agent;
  /** The issuer's own key of a tenant: what a faulty issuer could sign. */
  tokenKey(tenant: string): Signer;
  /** Headers of a call with a token, and a good proof unless told otherwise. */
  credentials(
    token: string,
    proof?: Partial<Parameters<typeof createProof>[0]>,
  ): Record<string, string>;
  /**
   * Makes a call to the ERP, sees it refused and nothing changed there. A stranger must be counted, a
   * known caller recorded. Returns the decision’s id.
   */
  refused(attack: Attack, expected: Refusal): Promise<string>;
  /** Keeps what the record of an id must say; `everyRefusalIsRecorded` compares. */
  expectRecord(id: string, expected: object): void;
  /** Looks every refusal of a caller who is known up in the ledger. */
  everyRefusalIsRecorded(): Promise<void>;
  /** Waits until the ledger holds a count of every stranger whom `refused` saw. */
  everyStrangerIsCounted(): Promise<void>;
  /** Rows of tables (`service.table`), of a tenant. */
  rows(tables: readonly string[], tenant?: string): Promise<number[]>;
  /** Everything that the ledger keeps: the records and the values beside them. */
  recordBytes(): Promise<string>;
};

export async function openStage(): Promise<Stage> {
  const cleanup = new AsyncDisposableStack();
  const demo = await startDemoStack({ ports: 'free', onProgress() {} });
  cleanup.defer(() => demo.stopAll());
  const world = openWorld(demo.dev, { narrate: {} as World['narrate'], line: demo.line });
  cleanup.defer(() => world.close());
  const jwk = freshJwk();
  const proofKey = importSigner(jwk);
  const strangers = new Map<string, number>();
  const records: { id: string; expected: object; row: string }[] = [];
  const database = new pg.Client(demo.stack.superuserUrl('remit'));
  await database.connect();
  cleanup.defer(() => database.end());

  const call = ({ method = 'GET', path = '/suppliers/S-100', headers = {}, body }: Attack) =>
    fetch(world.erp.url + path, {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });

  const stage: Stage = {
    demo,
    world,
    proofKey,
    agent: agentOf(demo.dev, 'procurement-agent', jwk),
    tokenKey(tenant) {
      const file = JSON.parse(readFileSync(demo.stack.keys.tokenKeysFile, 'utf8')) as Record<
        string,
        { keys: object[] }
      >;
      return importSigner(file[tenant]?.keys[0]);
    },
    credentials: (token, proof = {}) => ({
      authorization: `DPoP ${token}`,
      dpop: createProof({
        signer: proofKey,
        method: 'GET',
        url: `${world.erp.url}/suppliers/S-100`,
        accessToken: token,
        nowSeconds: Date.now() / 1_000,
        jti: randomUUID(),
        ...proof,
      }),
    }),
    async refused(attack, { status, reason, by }) {
      const before = await world.erp.counts();
      const response = await call(attack);
      const body = await response.text();
      expect([response.status, codeOf(body)]).toEqual([status, reason]);
      expect(body).not.toMatch(/node:|\.ts|at \w+ \(|stack/);
      expect(await world.erp.counts()).toEqual(before);
      const id = response.headers.get('remit-decision') ?? 'none';
      if (by === undefined) strangers.set(reason, (strangers.get(reason) ?? 0) + 1);
      else {
        stage.expectRecord(id, {
          event: 'decision',
          decision: 'deny',
          reason,
          user: by.user,
          record: { act_chain: by.agents },
        });
      }
      return id;
    },
    expectRecord: (id, expected) => {
      records.push({ id, expected, row: expect.getState().currentTestName ?? '' });
    },
    async everyRefusalIsRecorded() {
      expect(records.length).toBeGreaterThan(0);
      while (records.length > 0) {
        const some = records.splice(0, 16);
        const lines = await Promise.all(some.map(({ id }) => world.ledger.line(id)));
        for (const [i, { expected, row }] of some.entries()) {
          expect(lines[i], row).toMatchObject(expected);
        }
      }
    },
    async everyStrangerIsCounted() {
      await world.until(async () => {
        const lines = await world.ledger.lines({ event: 'decision', decision: 'deny' });
        const counted = new Map<string, number>();
        for (const { record } of lines) {
          if (record.count === undefined || record.reason === undefined) continue;
          counted.set(record.reason, (counted.get(record.reason) ?? 0) + record.count);
        }
        return [...strangers].every(([reason, count]) => (counted.get(reason) ?? 0) >= count);
      });
    },
    async rows(tables, tenant = 'acme') {
      const counts = tables.map((name) => `(select count(*)::int from ${name} where tenant = $1)`);
      const { rows } = await database.query<number[]>({
        text: `select ${counts.join(', ')}`,
        values: [tenant],
        rowMode: 'array',
      });
      return rows[0] ?? [];
    },
    async recordBytes() {
      const { rows } = await database.query<{ text: string }>(
        `select convert_from(bytes, 'utf8') as text from audit.records
         union all select value from audit.disclosures`,
      );
      return rows.map(({ text }) => text).join('\n');
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
  return stage;
}

/** A private P-256 key that nobody knows. */
export function freshJwk(): Record<string, unknown> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'ES256' };
}

/** Signs a supplier risk summary of S-100 into being, for Alice. */
export async function summaryOf(stage: Stage): Promise<Capability> {
  return stage.agent.startTask({
    idToken: await stage.world.signIn('alice'),
    taskType: 'supplier-risk-summary',
    slots: { supplier: 'S-100' },
    resource: stage.world.erp.url,
  });
}

/** base64url of JSON, or of text as it is. */
export const b64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** The claims of a JWT, unverified. */
export const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<
    string,
    unknown
  >;

/** Writes bytes to a connection of their own; everything that came back until its end. */
export function raw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

function codeOf(body: string): unknown {
  try {
    return (JSON.parse(body) as { code?: unknown }).code;
  } catch {
    return body;
  }
}
