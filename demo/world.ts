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
  erp: { url: string; counts(): Promise<RowCounts> };
  signIn(user: string): Promise<string>;
  agent(id: string): Agent;
  revoke(as: string, what: { kind: RevocationKind; id: string; reason?: string }): Promise<void>;
  ledger: {
    /** The record of a decision, as soon as the ledger has it. */
    line(id: string): Promise<LedgerLine>;
    lines(filter: Record<string, string>): Promise<LedgerLine[]>;
    verify(): Promise<Verification>;
  };
  /** Changes a record with the database's own password, and puts it back. */
  tamper(seq: number): Promise<{ restore(): Promise<void> }>;
  /** What one step leaves for the next. */
  memory: { summary: Capability };
  figures: { ackToRefusedMs?: number; records?: number; verified?: boolean };
  close(): Promise<void>;
};

const ARRIVES_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 25;

/** The world of a running development stack, as `dev.json` describes it. */
export function openWorld(dev: DevFile, narrate: Narrator): World {
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
    body?: object,
  ): Promise<Response> =>
    fetch(audienceOf(dev, service) + path, {
      headers: {
        authorization: `Bearer ${await accessToken(user, service)}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
    });
  const answer = async <T>(response: Response): Promise<T> => {
    if (!response.ok)
      throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  };

  return {
    dev,
    narrate,
    erp: { url: dev.erp_audience, counts: store.counts },
    signIn: async (user) => (await signInAs(dev, user)).idToken,
    agent(id) {
      const known = agents.get(id) ?? agentOf(dev, id);
      agents.set(id, known);
      return known;
    },
    async revoke(as, what) {
      await answer(await ask(as, 'revocation', '/revoke', what));
    },
    ledger: {
      async line(id) {
        const deadline = performance.now() + ARRIVES_WITHIN_MS;
        for (;;) {
          const response = await ask('erin', 'audit', `/records/${id}`);
          if (response.status !== 404) return answer(response);
          if (performance.now() > deadline) throw new Error(`the ledger has no record ${id}`);
          await wait(LOOK_EVERY_MS);
        }
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
