import type { BusMembers } from '@remit/stack';

/** Who is on the bus when a test file asks for nobody else. */
export const DEFAULT_MEMBERS = {
  peps: { acme: ['erp-1', 'erp-2'], globex: ['erp-1', 'erp-2'] },
  siems: ['siem'],
} as const satisfies BusMembers;
