import { randomUUIDv7 } from 'node:crypto';
import {
  type AuditRecord,
  canonicalText,
  commit,
  type Disclosures,
  makeCloudEvent,
  subjects,
} from '@remit/contracts';
import type { RawMessage } from '../ingest/admit.ts';

// Messages as producers send them, built without the recorder so that a test can bend each part.

export const SALT = 'AAAAAAAAAAAAAAAAAAAAAA';

/** A decision of Alice's task by the PEP `erp-1`, the n-th of its boot. */
export function decision(n: number, changes: Partial<AuditRecord> = {}): AuditRecord {
  return {
    v: 1,
    id: randomUUIDv7(),
    time: `2026-01-15T12:00:${String(n % 60).padStart(2, '0')}.000000Z`,
    tenant: 'acme',
    producer: { service: 'erp-1', instance: 'i1', version: '0.1.0', boot: 'boot1', n },
    event: 'decision',
    decision: 'allow',
    reason: 'permitted',
    principal: commit(SALT, 'alice'),
    actor: 'procurement-agent',
    act_chain: ['procurement-agent'],
    task: { id: 'task_1', type: 'supplier-risk-summary' },
    operation: {
      action: 'suppliers.read',
      resource: 'erp/suppliers/S-100',
      args: { note: commit(SALT, 'a/b') },
    },
    ...changes,
  };
}

export const DISCLOSED: Disclosures = {
  '/principal': { salt: SALT, value: 'alice' },
  '/operation/args/note': { salt: SALT, value: 'a/b' },
};

/** The message of a record on the subject of its own producer. */
export function messageOf(
  record: AuditRecord,
  disclosures: Disclosures = DISCLOSED,
  changes: { subject?: string; event?: Record<string, unknown> } = {},
): RawMessage {
  const { tenant, producer, event } = record;
  const { id, time } = record;
  const fields = { id, source: `urn:remit:${producer.service}`, time };
  const body = { ...makeCloudEvent(`audit.${event}`, fields, { record, disclosures }) };
  return {
    subject: changes.subject ?? subjects.audit(tenant, producer.service, event),
    data: Buffer.from(canonicalText({ ...body, ...changes.event })),
  };
}

/** The numbers from 1 to `count` as messages. */
export function decisions(count: number, changes: Partial<AuditRecord> = {}): RawMessage[] {
  return Array.from({ length: count }, (_, i) => messageOf(decision(i + 1, changes)));
}
