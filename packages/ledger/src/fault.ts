/** What was done to a ledger. `checkpoint` is a kept checkpoint that itself doesn't hold. */
export type FaultKind =
  | 'checkpoint'
  | 'delete'
  | 'edit'
  | 'fork'
  | 'insert'
  | 'reorder'
  | 'restored_backup'
  | 'truncation';

/**
 * One fault. `seq` is the first sequence that isn't proven good; `upTo` the last one that the fault
 * can lie at: the same where the bytes name it, else the size of the head that doesn't fit.
 */
export type Fault = {
  readonly seq: number;
  readonly upTo: number;
  readonly kind: FaultKind;
  readonly detail: string;
};
