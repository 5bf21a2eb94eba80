import { createHash, hash } from 'node:crypto';
import { canonicalText, commit } from '@remit/contracts';
import { appendLeaf, type Edge, encodeEdge, TILE_HEIGHT } from '@remit/ledger';
import type { Client, Connection } from 'pg';
import { decision, SALT } from './messages.ts';

/** Records of a tenant in the form of PostgreSQL's COPY, with the tree that they make. */
export type Filling = {
  /** Lines for `records` and for `disclosures` of the next `count` records. */
  lines(count: number): { records: string; disclosures: string };
  /** Lines for `tree_nodes` so far, and the head. */
  nodes(): string;
  edge(): Edge;
};

export const RECORD_COLUMNS =
  'tenant, seq, id, producer, bytes, leaf_hash, time, event, decision, reason, agents, client, task, action, resource, jti, decision_id, record';
export const VALUE_COLUMNS = 'tenant, producer, record_id, seq, pointer, salt, value';
export const NODE_COLUMNS = 'tenant, level, idx, hash';

const USERS = 1_000;
const TASKS = 20_000;

/**
 * Makes decisions that differ in user, agent, task, resource, reason and time, as fast as they can be
 * hashed: the canonical text is made once, and what differs is put in its place.
 */
export function fillTenant(tenant: string, from: Edge, startMs: number): Filling {
  let edge = from;
  let nodes = '';
  const text = canonicalText(
    decision(1, {
      tenant,
      id: '@id@',
      time: '@time@',
      reason: '@reason@',
      principal: { c: '@principal@' },
      actor: '@agent@',
      act_chain: ['@agent@'],
      task: { id: '@task@', type: 'supplier-risk-summary' },
      operation: { action: 'suppliers.read', resource: '@resource@', args: {} },
      producer: { service: 'erp-1', instance: 'i1', version: '0.1.0', boot: '@boot@', n: 1 },
    }),
  );
  const parts = text.split(/@(\w+)@/);
  const boot = createHash('sha256')
    .update(tenant)
    .update(String(startMs))
    .digest('hex')
    .slice(0, 32);
  const users = Array.from({ length: USERS }, (_, user) => ({
    value: JSON.stringify(`user-${user}`),
    c: commit(SALT, `user-${user}`).c,
  }));
  return {
    edge: () => edge,
    nodes: () => nodes,
    lines(count) {
      const records: string[] = [];
      const disclosures: string[] = [];
      for (let i = 0; i < count; i++) {
        const seq = edge.size + 1;
        // Spread, so that neighbours in one index are none in another.
        const user = users[(seq * 7) % USERS] as (typeof users)[number];
        const deny = seq % 50 === 0;
        const fields: Record<string, string> = {
          id: `fill-${boot.slice(0, 8)}-${seq}`,
          time: `${new Date(startMs + seq * 20).toISOString().slice(0, -1)}000Z`,
          reason: deny ? 'task_scope' : 'permitted',
          principal: user.c,
          agent: `agent-${(seq * 3) % 40}`,
          task: `task_${(seq * 11) % TASKS}`,
          resource: `erp/suppliers/S-${(seq * 13) % 5_000}`,
          boot,
        };
        const json = parts.map((part, at) => (at % 2 === 0 ? part : fields[part])).join('');
        const leaf = hash('sha256', `\0${json}`, 'buffer');
        edge = appendLeaf(edge, leaf, ({ level, index, hash: node }) => {
          if (level === 0 || level % TILE_HEIGHT !== 0) return;
          nodes += `${tenant}\t${level}\t${index}\t\\\\x${Buffer.from(node).toString('hex')}\n`;
        });
        const bytes = Buffer.from(json).toString('hex');
        records.push(
          `${tenant}\t${seq}\t${fields['id']}\terp-1\t\\\\x${bytes}\t\\\\x${leaf.toString('hex')}\t${fields['time']}\tdecision\tallow\t${fields['reason']}\t{${fields['agent']}}\t\\N\t${fields['task']}\tsuppliers.read\t${fields['resource']}\t\\N\t\\N\t${json}\n`,
        );
        disclosures.push(
          `${tenant}\terp-1\t${fields['id']}\t${seq}\t/principal\t${SALT}\t${user.value}\n`,
        );
      }
      return { records: records.join(''), disclosures: disclosures.join('') };
    },
  };
}

/** The head of a filled tenant, as a COPY line of `heads (tenant, seq, edge)`. */
export function headLine(tenant: string, edge: Edge): string {
  return `${tenant}\t${edge.size}\t\\\\x${Buffer.from(encodeEdge(edge)).toString('hex')}\n`;
}

/** `COPY target FROM STDIN` with these lines. */
export async function copyInto(client: Client, target: string, lines: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let failed: Error | undefined;
  // What pg calls for each message of the server; it has no COPY of its own.
  const copying = {
    submit: (connection: Connection) =>
      (connection as unknown as { query(text: string): void }).query(`copy ${target} from stdin`),
    handleCopyInResponse(connection: CopyConnection) {
      connection.sendCopyFromChunk(Buffer.from(lines));
      connection.endCopyFrom();
    },
    handleError: (error: Error) => {
      failed = error;
    },
    handleCommandComplete: () => {},
    handleReadyForQuery: () => (failed ? reject(failed) : resolve()),
  };
  client.query(copying);
  await promise;
}

type CopyConnection = { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void };
