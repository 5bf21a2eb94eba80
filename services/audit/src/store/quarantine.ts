import { createHash } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Admitted, RawMessage, Refused } from '../ingest/admit.ts';
import type { AuditTables } from './tables.ts';

/** Messages whose subject names no tenant are kept under this, which is no tenant's id. */
export const NO_TENANT = '*';

/** Keeps a message that is no record of its sender; the same one again changes nothing. */
export async function keepRefused(
  trx: Transaction<AuditTables>,
  tenant: string,
  { message, reason }: Refused,
): Promise<void> {
  const { subject } = message;
  await trx
    .insertInto('quarantine')
    .values({ tenant, digest: digestOf(message), subject, reason, payload: payloadOf(message) })
    .onConflict((on) => on.columns(['tenant', 'digest']).doNothing())
    .execute();
}

/** Keeps a record whose id another content had first. */
export async function keepConflict(
  trx: Transaction<AuditTables>,
  { tenant, producer, record, message }: Admitted,
): Promise<void> {
  await trx
    .insertInto('conflicts')
    .values({
      tenant,
      producer,
      id: record.id,
      digest: digestOf(message),
      payload: payloadOf(message),
    })
    .onConflict((on) => on.columns(['tenant', 'producer', 'id', 'digest']).doNothing())
    .execute();
}

function digestOf({ subject, data }: RawMessage): Buffer {
  return createHash('sha256').update(subject).update('\n').update(data).digest();
}

function payloadOf({ data }: RawMessage): Buffer {
  return Buffer.from(data);
}
