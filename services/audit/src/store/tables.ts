import type { ColumnType, Generated } from 'kysely';

/** One line of the ledger. `bytes` and `leaf_hash` are the truth; the rest is derived, for queries. */
export type RecordsTable = {
  tenant: string;
  seq: number;
  id: string;
  producer: string;
  bytes: Buffer;
  leaf_hash: Buffer;
  received_at: Generated<Date>;
  time: ColumnType<Date, string, never>;
  event: string;
  decision: string | null;
  reason: string | null;
  agents: string[];
  client: string | null;
  task: string | null;
  action: string | null;
  resource: string | null;
  jti: string | null;
  decision_id: string | null;
  record: ColumnType<unknown, string, never>;
};

/** A personal value of a record and the salt of its commitment: what erasure deletes. */
export type DisclosuresTable = {
  tenant: string;
  producer: string;
  record_id: string;
  /** JSON pointer into the record. */
  pointer: string;
  salt: string;
  /** Canonical JSON; null when the tenant's policy keeps the salt alone. */
  value: string | null;
  /** Of the record; derived, for queries by user. */
  seq: number | null;
};

/** The head of a tenant's ledger: newest sequence and right edge of the tree. */
export type HeadsTable = { tenant: string; seq: number; edge: Buffer; updated_at: Generated<Date> };

/** Complete subtrees of the levels 8, 16, 24 …; `idx` counts them from the left. */
export type TreeNodesTable = { tenant: string; level: number; idx: number; hash: Buffer };

/** Which numbers of a producer and boot are committed. */
export type NumbersTable = {
  tenant: string;
  producer: string;
  boot: string;
  /** int8multirange, as PostgreSQL writes it. */
  seen: string;
  /** Since when a number is missing below a committed one. */
  gap_since: Date | null;
};

export type CheckpointsTable = {
  tenant: string;
  size: number;
  note: string;
  created_at: Generated<Date>;
};

/** Messages that are no record of their sender; kept as they came. */
export type QuarantineTable = {
  tenant: string;
  digest: Buffer;
  subject: string;
  reason: string;
  payload: Buffer;
  received_at: Generated<Date>;
};

/** Records under an id that another content had first. Both are kept. */
export type ConflictsTable = {
  tenant: string;
  producer: string;
  id: string;
  digest: Buffer;
  payload: Buffer;
  received_at: Generated<Date>;
};

/** What retention leaves of a record. */
export type LeavesTable = {
  tenant: string;
  seq: number;
  leaf_hash: Buffer;
  producer: string;
  id: string;
};

/** Up to where the ledger said that records may go; the owner's job lets them go. */
export type RetentionsTable = {
  tenant: string;
  up_to: number;
  /** The record that says so. */
  record_id: string;
  decided_at: Generated<Date>;
};

/** Records that may neither go nor be erased; every condition that is given must hold. */
export type HoldsTable = {
  tenant: string;
  id: string;
  user: string | null;
  task: string | null;
  from_time: Date | string | null;
  to_time: Date | string | null;
  reason: string;
  placed_by: string;
  placed_at: Generated<Date>;
  released_by: string | null;
  released_at: Date | null;
};

/** Signature lines that others put below a checkpoint. */
export type CosignaturesTable = {
  tenant: string;
  size: number;
  cosigner: string;
  lines: string;
  created_at: Generated<Date>;
};

export type AuditTables = {
  cosignatures: CosignaturesTable;
  leaves: LeavesTable;
  retentions: RetentionsTable;
  holds: HoldsTable;
  records: RecordsTable;
  disclosures: DisclosuresTable;
  heads: HeadsTable;
  tree_nodes: TreeNodesTable;
  numbers: NumbersTable;
  checkpoints: CheckpointsTable;
  quarantine: QuarantineTable;
  conflicts: ConflictsTable;
};
