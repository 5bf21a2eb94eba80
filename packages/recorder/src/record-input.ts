import type { AuditEvent, AuditRecord } from '@remit/contracts';

/** `stranger`: nothing that the caller said about itself was verified. */
export type Trust = 'verified' | 'stranger';

type Given = Omit<
  AuditRecord,
  'v' | 'id' | 'time' | 'tenant' | 'producer' | 'principal' | 'source' | 'task' | 'operation'
>;
type OrUndefined<T> = { [K in keyof T]: T[K] | (undefined extends T[K] ? undefined : never) };

/**
 * What happened. Personal values are given in plain; the recorder puts salted commitments in their
 * place and lets the values travel beside the record, where they can be erased.
 */
export type RecordInput = {
  [K in keyof OrUndefined<Given>]: K extends 'event' ? AuditEvent : Given[K] | undefined;
} & {
  event: AuditEvent;
  /** The record's id, `[A-Za-z0-9_-]`, unguessable. Default: a new UUIDv7. */
  id?: string | undefined;
  /** The user. Personal. */
  principal?: string | undefined;
  /** Where junk came from. Personal. */
  source?: string | undefined;
  task?: { id: string; type: string /** Personal. */; purpose?: string | undefined } | undefined;
  operation?:
    | {
        action: string;
        resource: string /** Personal. */;
        args?: Record<string, unknown> | undefined;
      }
    | undefined;
  /** Decides which share of the spool may be used. Default `verified`. */
  trust?: Trust | undefined;
};
