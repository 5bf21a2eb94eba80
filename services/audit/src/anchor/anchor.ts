import { type LedgerError, sameHash } from '@remit/ledger';
import { AuditError } from '../error.ts';

/** The head of a tenant's ledger, on its way to a place that is not ours. */
export type Head = {
  readonly tenant: string;
  readonly size: number;
  /** The signed checkpoint of this size. */
  readonly note: string;
  /** The root that the first `size` records have now. */
  rootAt(size: number): Promise<Uint8Array>;
  /** That the tree of `oldSize` records is the beginning of this one. */
  prove(oldSize: number): Promise<readonly Uint8Array[]>;
};

/** A place outside the database that keeps checkpoints and forgets none. */
export type Anchor = {
  /** For metrics and logs. */
  readonly name: string;
  /**
   * Compares a head with the newest one that the anchor has, and gives it this one. Returns the
   * cosignature lines of an anchor that signs. Throws AuditError `CHECKPOINT_BEHIND` or
   * `CHECKPOINT_FORK` when the anchor knows better; anything else means that it could not be reached.
   */
  take(head: Head): Promise<string | undefined>;
};

/** Throws unless the ledger has the head that an anchor kept. */
export async function assertExtends(
  anchor: string,
  head: Head,
  kept: { size: number; root: Uint8Array },
): Promise<void> {
  if (kept.size > head.size) throw behind(anchor, head, kept.size);
  if (!sameHash(await head.rootAt(kept.size), kept.root)) throw forked(anchor, head, kept.size);
}

export function behind(
  anchor: string,
  { tenant, size }: Pick<Head, 'size' | 'tenant'>,
  kept: number,
): AuditError {
  return new AuditError(
    'CHECKPOINT_BEHIND',
    `The ledger of ${tenant} has ${size} records, and the checkpoint kept at ${anchor} has ${kept}: the database is an older one, a backup that was restored perhaps. Nothing is added to it. Restore a newer one; docs/ledger.md says what else can be done.`,
    { tenant, size, outside: kept, anchor },
  );
}

export function forked(anchor: string, { tenant }: Pick<Head, 'tenant'>, kept: number): AuditError {
  return new AuditError(
    'CHECKPOINT_FORK',
    `The first ${kept} records of ${tenant} are not those of the checkpoint kept at ${anchor}: the ledger was rewritten. Nothing is added to it. Run verify; docs/ledger.md says what else can be done.`,
    { tenant, size: kept, anchor },
  );
}

/** Whether an error says that a ledger contradicts what was signed, not that a place is away. */
export function isContradiction(error: unknown): error is AuditError | LedgerError {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === 'CHECKPOINT_BEHIND' || code === 'CHECKPOINT_FORK';
}
