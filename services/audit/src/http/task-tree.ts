import type { StoredRecord } from '../store/read.ts';
import { presentRecord, type RecordView } from './present.ts';

/** A token of a task: how it came to be, what was done with it, who it was handed on to. */
export type TokenNode = {
  token: string;
  /** The agents that act with it, the origin first. */
  agents: readonly string[];
  issued: RecordView | null;
  calls: CallNode[];
  /** Consumptions, refusals and whatever else names the token. */
  others: RecordView[];
  revocations: RecordView[];
  children: TokenNode[];
};

/** A call as its enforcement point decided it, and how it ended. */
export type CallNode = { decision: RecordView; finished: RecordView | null };

export type TaskTree = {
  task: string;
  /** Of the user, the agents, the client or the task as a whole. */
  revocations: RecordView[];
  tokens: TokenNode[];
  /** What names no token: refused requests, say. */
  others: RecordView[];
};

const ISSUED = new Set(['token.issued', 'token.delegated']);

/** Reconstructs a task from its records: tokens below the ones that they descend from. */
export function taskTree(
  task: string,
  records: readonly StoredRecord[],
  revoked: readonly StoredRecord[],
): TaskTree {
  const nodes = new Map<string, TokenNode>();
  const parents = new Map<string, string>();
  const calls = new Map<string, CallNode>();
  const tree: TaskTree = { task, revocations: [], tokens: [], others: [] };

  const nodeOf = (token: string, lineage: readonly string[] = []): TokenNode => {
    let node = nodes.get(token);
    if (node === undefined) {
      node = {
        token,
        agents: [],
        issued: null,
        calls: [],
        others: [],
        revocations: [],
        children: [],
      };
      nodes.set(token, node);
    }
    const parent = lineage.at(-1);
    if (parent !== undefined && parent !== token) parents.set(token, parent);
    // A token may be known by its descendants alone: its own record is older than retention.
    for (const [i, ancestor] of lineage.entries()) {
      if (!nodes.has(ancestor)) nodeOf(ancestor, lineage.slice(0, i));
    }
    return node;
  };

  for (const stored of records) {
    const view = presentRecord(stored);
    const { record } = stored;
    const call = record?.decision_id === undefined ? undefined : calls.get(record.decision_id);
    if (record?.event === 'call.finished' && call && call.finished === null) {
      call.finished = view;
      continue;
    }
    if (record?.token === undefined) {
      tree.others.push(view);
      continue;
    }
    const node = nodeOf(record.token.jti, record.token.lineage);
    if (node.agents.length === 0 && view.agents.length > 0) node.agents = view.agents;
    if (ISSUED.has(record.event) && node.issued === null) {
      node.issued = view;
      node.agents = view.agents;
    } else if (record.event === 'decision') {
      const made: CallNode = { decision: view, finished: null };
      node.calls.push(made);
      calls.set(record.id, made);
    } else node.others.push(view);
  }
  for (const stored of revoked) {
    const view = presentRecord(stored);
    const token = /^remit\/token\/(.+)$/.exec(view.resource ?? '')?.[1];
    const node = token === undefined ? undefined : nodes.get(token);
    (node?.revocations ?? tree.revocations).push(view);
  }
  for (const node of nodes.values()) {
    const parent = nodes.get(parents.get(node.token) ?? '');
    (parent?.children ?? tree.tokens).push(node);
  }
  return tree;
}
