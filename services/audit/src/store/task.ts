import { sql, type Transaction } from 'kysely';
import { findRecords, recordsBySequence, type StoredRecord } from './read.ts';
import type { AuditTables } from './tables.ts';

type Trx = Transaction<AuditTables>;

/** Everything that belongs to a task, the oldest first, and what ended any of it. */
export type TaskRecords = {
  readonly records: readonly StoredRecord[];
  readonly revocations: readonly StoredRecord[];
  /** There are more records than were read. */
  readonly truncated: boolean;
};

/**
 * The records of a task, with those that name one of its decisions, and the revocations since it began
 * of the task, a token, an agent, the client, its user or the tenant.
 */
export async function taskRecords(
  trx: Trx,
  tenant: string,
  task: string,
  limit: number,
): Promise<TaskRecords> {
  const query = { task, oldestFirst: true, limit: limit + 1 };
  const found = await findRecords(trx, tenant, query);
  const records = found.slice(0, limit);
  const [first] = records;
  if (first === undefined) return { records, revocations: [], truncated: false };
  const { rows } = await sql<{ seq: number }>`
    select r.seq from records r
    where r.tenant = ${tenant} and r.event = 'token.revoked' and r.seq > ${first.seq}
      and (r.resource = any(${resourcesOf(tenant, task, records)}::text[])
        or (r.resource = 'remit/user' and exists (
          select from disclosures d
          where d.tenant = r.tenant and d.producer = r.producer and d.record_id = r.id
            and d.pointer = '/operation/args/id' and d.value = any(${usersOf(records)}::text[]))))
    order by r.seq limit ${limit}`.execute(trx);
  const seqs = rows.map(({ seq }) => seq);
  const revocations = await recordsBySequence(trx, tenant, seqs);
  return { records, revocations, truncated: found.length > limit };
}

/** What a revocation may name to end something of these records. */
function resourcesOf(tenant: string, task: string, records: readonly StoredRecord[]): string[] {
  const names = new Set([`remit/task/${task}`, `remit/tenant/${tenant}`]);
  for (const { record } of records) {
    if (record?.token) names.add(`remit/token/${record.token.jti}`);
    if (record?.client) names.add(`remit/client/${record.client}`);
    for (const agent of record?.act_chain ?? []) names.add(`remit/agent/${agent}`);
  }
  return [...names];
}

function usersOf(records: readonly StoredRecord[]): string[] {
  const users = records.map(({ values }) => values.get('/principal'));
  return [...new Set(users.filter((user) => user !== undefined))].map((user) =>
    JSON.stringify(user),
  );
}
