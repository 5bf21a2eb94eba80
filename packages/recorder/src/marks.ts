import type { Verifier } from '@remit/bus';
import { type AuditMark, auditMark, conform, parseJsonStrict, SIGNED } from '@remit/contracts';

/**
 * Reads a commit mark: signature by the audit service's mark key, type, closed schema, and that it is
 * for this tenant and producer. Returns undefined for everything else. Does not compare with earlier
 * marks: an old one only says again what is committed.
 */
export function readMark(
  bytes: Uint8Array,
  expected: { verifier: Verifier; tenant: string; producer: string },
): AuditMark | undefined {
  try {
    const payload = expected.verifier.verify(SIGNED.mark, bytes);
    const mark = conform(auditMark, parseJsonStrict(Buffer.from(payload).toString('utf8')));
    const isOurs = mark.tenant === expected.tenant && mark.producer === expected.producer;
    return isOurs ? mark : undefined;
  } catch {
    return undefined;
  }
}
