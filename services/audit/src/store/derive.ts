import type { AuditRecord } from '@remit/contracts';
import type { Insertable } from 'kysely';
import type { RecordsTable } from './tables.ts';

/** The columns that queries use, computed from a record and from nothing else. */
export type Derived = Omit<
  Insertable<RecordsTable>,
  'bytes' | 'leaf_hash' | 'received_at' | 'seq' | 'tenant'
>;

/**
 * Derives a record's columns. PostgreSQL holds no NUL in text: it becomes U+FFFD here, in the columns
 * only; the bytes that are hashed keep it.
 */
export function derive(record: AuditRecord): Derived {
  const agents = [record.actor, record.origin_agent, ...(record.act_chain ?? [])];
  return {
    id: record.id,
    producer: record.producer.service,
    time: record.time,
    event: record.event,
    decision: record.decision ?? null,
    reason: text(record.reason),
    agents: [...new Set(agents.flatMap((agent) => text(agent) ?? []))].toSorted(),
    client: text(record.client),
    task: text(record.task?.id),
    action: text(record.operation?.action),
    resource: text(record.operation?.resource),
    jti: text(record.token?.jti),
    decision_id: text(record.decision_id),
    record: JSON.stringify(record).replaceAll('\\u0000', '\\ufffd'),
  };
}

function text(value: string | undefined): string | null {
  return value === undefined ? null : value.replaceAll('\u0000', '\ufffd');
}
