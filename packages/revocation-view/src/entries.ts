import type { Reason, RevocationEntry, RevocationKind, TokenSubjects } from '@remit/contracts';
import { createIdTable, type IdTable, NEVER } from './id-table.ts';

export type Hit = { reason: Reason; kind: RevocationKind; id: string; seq: number };

/** What is revoked, whatever the order in which it was learned. */
export type Entries = {
  learn(entry: RevocationEntry): void;
  /** One of a token, link, task or key: refuses whatever names it, whatever its `rev`. */
  single(subjects: TokenSubjects): Hit | undefined;
  /** One of an agent, user, client or the tenant: refuses what was decided before it. */
  wide(subjects: TokenSubjects): Hit | undefined;
  /** Whether a key is revoked. */
  key(id: string): boolean;
  /** The highest sequence of a `recheck`, 0 when there is none. */
  recheckSeq(): number;
  /** Drops what ended before `seconds` of the feed's clock. */
  sweep(seconds: number): void;
  /**
   * Forgets what compares sequences, which mean nothing in another epoch. Tokens that it refused
   * are of the epoch that ended; what is for ever stays.
   */
  endEpoch(): void;
  size(): number;
};

type Wide = Map<string, { seq: number; ends: number }>;

const MARK_TOKEN = 0;
const MARK_LINK = 1;

export function createEntries(tenant: string, hashSeed: number): Entries {
  /** Tokens and links: a lineage holds ids of both and doesn't tell them apart. */
  const ids = createIdTable('', hashSeed);
  const tasks = createIdTable('task_', hashSeed);
  const keys = new Map<string, number>();
  const agents: Wide = new Map();
  const users: Wide = new Map();
  const clients: Wide = new Map();
  const tenants: Wide = new Map();
  const wides = [agents, users, clients, tenants];
  let recheck = 0;

  const learners: Record<RevocationKind, (entry: RevocationEntry) => void> = {
    token: (entry) => addId(ids, entry, MARK_TOKEN),
    link: (entry) => addId(ids, entry, MARK_LINK),
    task: (entry) => addId(tasks, entry, MARK_TOKEN),
    key: (entry) => {
      keys.set(entry.id, Math.min(keys.get(entry.id) ?? entry.seq, entry.seq));
    },
    agent: (entry) => raise(agents, entry),
    user: (entry) => raise(users, entry),
    client: (entry) => raise(clients, entry),
    tenant: (entry) => raise(tenants, entry),
  };

  const idHit = (id: string, reason: Reason): Hit | undefined => {
    const entry = ids.get(id);
    if (!entry) return undefined;
    return { reason, kind: entry.mark === MARK_LINK ? 'link' : 'token', id, seq: entry.seq };
  };

  return {
    learn: (entry) => {
      if (entry.verb === 'recheck') {
        recheck = Math.max(recheck, entry.seq);
        return;
      }
      learners[entry.kind](entry);
    },
    single: (subjects) => {
      const own = idHit(subjects.jti, 'token_revoked');
      if (own) return own;
      for (const id of subjects.lineage) {
        const ancestor = idHit(id, 'ancestor_revoked');
        if (ancestor) return ancestor;
      }
      const task = tasks.get(subjects.task);
      if (task) return { reason: 'task_revoked', kind: 'task', id: subjects.task, seq: task.seq };
      if (keys.size === 0) return undefined;
      for (const id of subjects.keys) {
        const seq = keys.get(id);
        if (seq !== undefined) return { reason: 'key_revoked', kind: 'key', id, seq };
      }
      return undefined;
    },
    wide: (subjects) => {
      const decided = subjects.rev.seq;
      for (const id of subjects.actors) {
        const seq = after(agents, id, decided);
        if (seq > 0) return { reason: 'agent_revoked', kind: 'agent', id, seq };
      }
      let seq = after(users, subjects.user, decided);
      if (seq > 0) return { reason: 'user_revoked', kind: 'user', id: subjects.user, seq };
      seq = after(clients, subjects.client, decided);
      if (seq > 0) return { reason: 'client_revoked', kind: 'client', id: subjects.client, seq };
      seq = after(tenants, tenant, decided);
      if (seq > 0) return { reason: 'tenant_revoked', kind: 'tenant', id: tenant, seq };
      return undefined;
    },
    key: (id) => keys.has(id),
    recheckSeq: () => recheck,
    sweep: (seconds) => {
      ids.sweep(seconds);
      tasks.sweep(seconds);
      for (const wide of wides) {
        for (const [id, entry] of wide) if (entry.ends < seconds) wide.delete(id);
      }
    },
    endEpoch: () => {
      for (const wide of wides) wide.clear();
      recheck = 0;
    },
    size: () =>
      ids.size() + tasks.size() + keys.size + wides.reduce((sum, wide) => sum + wide.size, 0),
  };
}

function addId(table: IdTable, entry: RevocationEntry, mark: number): void {
  table.add(entry.id, { seq: entry.seq, ends: endOf(entry), mark });
}

function raise(wide: Wide, entry: RevocationEntry): void {
  const known = wide.get(entry.id);
  wide.set(entry.id, {
    seq: Math.max(known?.seq ?? 0, entry.seq),
    ends: Math.max(known?.ends ?? 0, endOf(entry)),
  });
}

function endOf(entry: RevocationEntry): number {
  return Math.min(entry.ends ?? NEVER, NEVER);
}

function after(wide: Wide, id: string, decided: number): number {
  if (wide.size === 0) return 0;
  const entry = wide.get(id);
  return entry !== undefined && decided < entry.seq ? entry.seq : 0;
}
