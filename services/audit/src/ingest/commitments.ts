import type { AuditRecord, Commitment } from '@remit/contracts';

/** Every commitment of a record by its JSON pointer (RFC 6901). */
export function commitmentsOf(record: AuditRecord): Map<string, Commitment> {
  const found = new Map<string, Commitment>();
  if (record.principal) found.set('/principal', record.principal);
  if (record.source) found.set('/source', record.source);
  if (record.task?.purpose) found.set('/task/purpose', record.task.purpose);
  for (const [name, value] of Object.entries(record.operation?.args ?? {})) {
    found.set(`/operation/args/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, value);
  }
  return found;
}
