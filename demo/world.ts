import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Agent, Capability } from '@remit/agent';
import { agentOf, audienceOf, signInAs } from '@remit/cli';
import type { AuditRecord, DevFile, RevocationKind } from '@remit/contracts';
import pg from 'pg';
import { createErpStore, type RowCounts } from './erp/store.ts';
import type { Narrator } from './narrate.ts';

/** A record as the audit service answers it to an auditor. */
export type LedgerLine = {
  seq: number;
  id: string;
  line: string;
  event: string;
  decision: string | null;
  reason: string | null;
  user: string | null;
  agents: string[];
  /** Personal values by JSON pointer. */
  values: Record<string, unknown>;
  record: AuditRecord;
};

/** What verifying the whole ledger said. */
export type Verification = {
  ok: boolean;
  size: number;
  fault: { seq: number; kind: string } | null;
};

/** Everything that a step can see and do: people, agents, the ERP, the ledger, from outside. */
export type World = {
  dev: DevFile;
  narrate: Narrator;
  erp: {
    /** The one audience and public address of both instances. */
    url: string;
    counts(): Promise<RowCounts>;
    /** A call as a load balancer would bring it: made for the public address, sent to one instance. */
    at(instance: 1 | 2, holder: Capability, method: string, path: string): Promise<Response>;
  };
  signIn(user: string): Promise<string>;
  agent(id: string): Agent;
  revoke(as: string, what: { kind: RevocationKind; id: string; reason?: string }): Promise<void>;
  /** What an administrator does over a service's HTTP API. */
  admin(as: string, service: string, path: string): Promise<void>;
  /** Uploads a policy set beside the tenant's own guardrails; returns the version. */
  uploadPolicies(as: string, message: string, files: Record<string, string>): Promise<string>;
  /** The second instance's line to the bus. */
  line: { cut(): void; heal(): void };
  /** Asks again until it is so; returns after how many milliseconds. Throws after 15 s. */
  until(holds: () => Promise<boolean>): Promise<number>;
  ledger: {
    /** The record of a decision, as soon as the ledger has it. */
    line(id: string): Promise<LedgerLine>;
    lines(filter: Record<string, string>): Promise<LedgerLine[]>;
    /** How many calls of strangers were counted for a reason, as soon as there are any. */
    counted(reason: string): Promise<number>;
    verify(): Promise<Verification>;
  };
  /** Changes a record with the database's own password, and puts it back. */
  tamper(seq: number): Promise<{ restore(): Promise<void> }>;
  /** What one step leaves for the next. */
  memory: Record<'summary' | 'order' | 'terms' | 'risk' | 'report', Capability>;
  figures: { ackToRefusedMs?: number; records?: number; verified?: boolean };
  close(): Promise<void>;
};

const GIVE_UP_MS = 15_000;
const LOOK_EVERY_MS = 25;

async function until(holds: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedAt > GIVE_UP_MS)
      throw new Error(`not so after ${GIVE_UP_MS} ms`);
    await wait(LOOK_EVERY_MS);
  }
  return performance.now() - startedAt;
}

/** The tenant's own guardrails: an upload is a whole set. */
function guardrails(): string {
  return readFileSync(join(import.meta.dirname, 'tenant/acme/policies/guardrails.cedar'), 'utf8');
}

/** The world of a running development stack, as `dev.json` describes it. */
export function openWorld(dev: DevFile, { narrate, line }: Pick<World, 'narrate' | 'line'>): World {
  const store = createErpStore(dev.postgres.roles['erp'] as string);
  const tokens = new Map<string, Promise<string>>();
  const agents = new Map<string, Agent>();

  /** An access token of a person for a service; kept, as an application would. */
  const accessToken = (user: string, service: string): Promise<string> => {
    const key = `${user} ${service}`;
    const known =
      tokens.get(key) ??
      signInAs(dev, user, audienceOf(dev, service)).then((signed) => signed.accessToken);
    tokens.set(key, known);
    return known;
  };
  const ask = async (
    user: string,
    service: string,
    path: string,
    post?: { body?: object },
  ): Promise<Response> =>
    fetch(audienceOf(dev, service) + path, {
      method: post ? 'POST' : 'GET',
      headers: {
        authorization: `Bearer ${await accessToken(user, service)}`,
        ...(post?.body ? { 'content-type': 'application/json' } : {}),
      },
      ...(post?.body ? { body: JSON.stringify(post.body) } : {}),
    });
  const answer = async <T>(response: Response): Promise<T> => {
    if (!response.ok)
      throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  };

  return {
    dev,
    narrate,
    line,
    erp: {
      url: dev.erp_audience,
      counts: store.counts,
      at: (instance, holder, method, path) =>
        fetch(dev.urls[instance === 1 ? 'erp' : 'erp-2'] + path, {
          method,
          headers: holder.headers(method, dev.erp_audience + path),
        }),
    },
    signIn: async (user) => (await signInAs(dev, user)).idToken,
    agent(id) {
      const known = agents.get(id) ?? agentOf(dev, id);
      agents.set(id, known);
      return known;
    },
    until,
    async admin(as, service, path) {
      await answer(await ask(as, service, path, {}));
    },
    async uploadPolicies(as, message, files) {
      const own = { 'guardrails.cedar': guardrails() };
      const body = { message, files: { ...own, ...files } };
      return (
        await answer<{ version: string }>(await ask(as, 'pdp', '/admin/v1/policies', { body }))
      ).version;
    },
    async revoke(as, what) {
      await answer(await ask(as, 'revocation', '/revoke', { body: what }));
    },
    ledger: {
      async line(id) {
        let response = await ask('erin', 'audit', `/records/${id}`);
        await until(async () => {
          if (response.status === 404) response = await ask('erin', 'audit', `/records/${id}`);
          return response.status !== 404;
        });
        return answer(response);
      },
      async counted(reason) {
        let count = 0;
        await until(async () => {
          const { records } = await answer<{ records: LedgerLine[] }>(
            await ask(
              'erin',
              'audit',
              `/records?${new URLSearchParams({ reason, event: 'decision' }).toString()}`,
            ),
          );
          count = records.reduce((sum, { record }) => sum + (record.count ?? 0), 0);
          return count > 0;
        });
        return count;
      },
      async lines(filter) {
        const { records } = await answer<{ records: LedgerLine[] }>(
          await ask(
            'erin',
            'audit',
            `/records?${new URLSearchParams({ ...filter, limit: '200' }).toString()}`,
          ),
        );
        return records.toReversed();
      },
      verify: async () => answer<Verification>(await ask('erin', 'audit', '/verify')),
    },
    tamper: (seq) => rewriteRecord(dev, seq),
    memory: {} as World['memory'],
    figures: {},
    close: store.close,
  };
}

/** Turns an allow into a deny in the stored bytes, as an administrator of the database could. */
async function rewriteRecord(dev: DevFile, seq: number): Promise<{ restore(): Promise<void> }> {
  const client = new pg.Client(dev.postgres.roles['audit_owner']);
  await client.connect();
  await client.query("select set_config('remit.tenant', $1, false)", [dev.tenant]);
  const { rows } = await client.query<{ bytes: Buffer }>(
    'select bytes from audit.records where seq = $1',
    [seq],
  );
  const original = rows[0]?.bytes;
  if (!original) throw new Error(`there is no record ${seq}`);
  const write = async (bytes: Buffer) => {
    const { rowCount } = await client.query('update audit.records set bytes = $2 where seq = $1', [
      seq,
      bytes,
    ]);
    if (rowCount !== 1) throw new Error('the row could not be changed');
  };
  await write(
    Buffer.from(original.toString('utf8').replace('"decision":"allow"', '"decision":"deny"')),
  );
  return {
    async restore() {
      await write(original);
      await client.end();
    },
  };
}
