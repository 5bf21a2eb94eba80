import type { PermissionJson } from '@remit/contracts';
import type { Task } from './token-request.ts';

/**
 * A token, or a chain, on its way to whoever can use it: plain data that holds the token. It is of no use
 * without the key that it is bound to.
 */
export type Handover = {
  readonly token: string;
  readonly audience: string;
  /** RFC 3339. */
  readonly expiresAt: string;
  readonly permissions: readonly PermissionJson[];
  readonly task: Task;
};
