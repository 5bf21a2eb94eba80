import type { AuditRecord } from '@remit/contracts';
import type { StoredRecord } from '../store/read.ts';

/** A record as a query answers it: the line that a person reads, and everything that it is made of. */
export type RecordView = {
  seq: number;
  id: string;
  line: string;
  time: string | null;
  event: string | null;
  decision: string | null;
  reason: string | null;
  /** The user; null when the record names none or the value is erased. */
  user: string | null;
  user_erased: boolean;
  agents: readonly string[];
  action: string | null;
  resource: string | null;
  /** Personal values by JSON pointer; what is erased is missing. */
  values: Record<string, unknown>;
  producer: string;
  /** Null when the stored bytes are no record any more: verify says what happened. */
  record: AuditRecord | null;
  leaf_hash: string;
};

export function presentRecord(stored: StoredRecord): RecordView {
  const { seq, id, producer, record, values, leafHash } = stored;
  const principal = values.get('/principal');
  const user = typeof principal === 'string' ? principal : null;
  return {
    seq,
    id,
    line: record ? readableLine(record, user) : `record ${seq} is damaged: verify the ledger`,
    time: record?.time ?? null,
    event: record?.event ?? null,
    decision: record?.decision ?? null,
    reason: record?.reason ?? null,
    user,
    user_erased: record?.principal !== undefined && user === null,
    agents: record ? chainOf(record) : [],
    action: record?.operation?.action ?? null,
    resource: record?.operation?.resource ?? null,
    values: Object.fromEntries(values),
    producer,
    record: record ?? null,
    leaf_hash: leafHash.toString('base64'),
  };
}

/** Time, decision, user → agents, action, resource, the dimension that refused, reason, task. */
function readableLine(record: AuditRecord, user: string | null): string {
  const who = [user ?? (record.principal ? '(erased)' : undefined), ...chainOf(record)];
  const refusing = Object.entries(record.dimensions ?? {}).find(
    ([, verdict]) => verdict === 'deny',
  );
  const parts = [
    record.time,
    (record.decision ?? record.event).toUpperCase(),
    who.filter((name) => name !== undefined).join(' \u2192 '),
    record.decision === undefined ? undefined : `${record.event}:`,
    record.operation?.action,
    record.operation?.resource,
    refusing ? `by ${refusing[0]}` : undefined,
    record.reason ? `(${record.reason})` : undefined,
    record.task ? `task ${record.task.type} ${record.task.id}` : undefined,
    record.policy_version ? `policy ${record.policy_version}` : undefined,
    record.count === undefined ? undefined : `\u00d7${record.count}`,
  ];
  return parts
    .filter((part) => part !== undefined && part !== '')
    .map(oneLine)
    .join(' ');
}

function chainOf(record: AuditRecord): readonly string[] {
  if (record.act_chain && record.act_chain.length > 0) return record.act_chain;
  return record.actor === undefined ? [] : [record.actor];
}

/** Control, bidirectional and line-separating characters would let a value write lines of its own. */
function oneLine(text: string | undefined): string {
  return (text ?? '').replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
