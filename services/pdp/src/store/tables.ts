import type { OutboxTables } from '@remit/service-kit';
import type { ColumnType, Generated } from 'kysely';
import type { ShadowDifference } from '../policies/shadow-difference.ts';

/** Files of a set by name: `*.cedar`, and `tests/*.yaml`. */
export type PolicyFiles = Record<string, string>;

type WrittenOnce<T> = ColumnType<T, T, never>;
/** Written as JSON text, read back parsed. */
type Json<T> = ColumnType<T, string, never>;

export type PdpTables = OutboxTables & {
  policy_versions: {
    tenant: WrittenOnce<string>;
    /** Counts the versions of a tenant from 1. */
    number: WrittenOnce<number>;
    /** SHA-256 of the files' canonical JSON. */
    version: WrittenOnce<string>;
    author: WrittenOnce<string>;
    message: WrittenOnce<string>;
    files: Json<PolicyFiles>;
    created_at: ColumnType<Date, never, never>;
  };
  /** Which version became active when; the newest row of a tenant is the active one. */
  policy_activations: {
    tenant: WrittenOnce<string>;
    /** Sequence of the event in the outbox. */
    seq: WrittenOnce<number>;
    number: WrittenOnce<number>;
    version: WrittenOnce<string>;
    activated_by: WrittenOnce<string>;
    activated_at: ColumnType<Date, never, never>;
  };
  /** What a task has asked so far. */
  task_sessions: {
    tenant: string;
    task: string;
    calls: number;
    denials: number;
    volume: number;
    tools: string[];
    actions: string[];
    seen_at: Date;
  };
  /** The same by the minute of the epoch, for the last ones. */
  task_minutes: {
    tenant: string;
    task: string;
    minute: number;
    calls: number;
    denials: number;
    volume: number;
  };
  /** SHA-256 of the address of a tenant's own decision point that its PEPs were told of. */
  external_guardrails: {
    tenant: string;
    digest: string;
    seen_at: ColumnType<Date, never, Date>;
  };
  /** Which version is decided beside the active one; the newest row of a tenant counts, null ends it. */
  policy_shadows: {
    tenant: WrittenOnce<string>;
    seq: Generated<number>;
    version: WrittenOnce<string | null>;
    set_by: WrittenOnce<string>;
    set_at: ColumnType<Date, never, never>;
  };
  /** How often a version in shadow said the same as the active one, and how often not. */
  shadow_tallies: {
    tenant: WrittenOnce<string>;
    version: WrittenOnce<string>;
    same: number;
    different: number;
    failed: number;
  };
  /** Decisions that a version in shadow would have made otherwise. */
  shadow_differences: {
    tenant: WrittenOnce<string>;
    /** The pdp's id of the decision. */
    id: WrittenOnce<string>;
    at: WrittenOnce<Date>;
    version: WrittenOnce<string>;
    active_version: WrittenOnce<string>;
    said: Json<ShadowDifference>;
  };
};
