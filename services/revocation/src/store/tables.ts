import type { RevocationKind } from '@remit/contracts';
import type { OutboxTables } from '@remit/service-kit';
import type { Generated, JSONColumnType, Transaction } from 'kysely';

/** An amount of one budget's account. */
export type Charge = { id: string; period: number; amount: number };
export type ReservationState = 'reserved' | 'committed' | 'released' | 'expired';

/** The tables of the service's schema. Times are seconds of the feed's clock unless they say `ms`. */
export type Tables = OutboxTables & {
  /** One row per epoch of this store; the highest number is now. */
  epoch: {
    tenant: string;
    number: number;
    id: string;
    feed_secret: Buffer;
    started_at: Generated<Date>;
    /** The PostgreSQL cluster and timeline that it began on. */
    cluster: string | null;
  };
  /** A tenant's committed sequence. Its row lock is what puts revocations in one order. */
  head: { tenant: string; seq: number; moved_at: Date; floor: Generated<number> };
  revocation: {
    tenant: string;
    seq: number;
    verb: 'revoke' | 'recheck';
    kind: RevocationKind;
    id: string;
    at: number;
    /** No token that this can hit lives longer; null for keys. */
    ends: number | null;
    by_kind: 'user' | 'agent' | 'service';
    by_id: string;
    reason: string | null;
  };
  registration: {
    tenant: string;
    jti: string;
    lineage: string[];
    rev_epoch: string;
    rev_seq: number;
    task: string;
    actors: string[];
    user_id: string;
    client: string;
    keys: string[];
    exp: number;
    list: number;
    idx: number;
    registered_at: Generated<Date>;
  };
  /** Spent uses. The primary key is what lets one consumer win. */
  single_use: {
    tenant: string;
    use_id: string;
    attempt: string;
    /** The PEP that asked, and the token and audience that it asked for. */
    pep: string;
    jti: string;
    task: string;
    audience: string;
    consumed_at: Generated<Date>;
    keep_until: number;
  };
  /** DPoP proofs that were used, for PEPs whose instances share a memory. */
  proof_claim: {
    tenant: string;
    proof: string;
    attempt: string;
    pep: string;
    keep_until: number;
  };
  /** What is known of a budget. Amounts are whole ten-thousandths of its unit. */
  budget: {
    tenant: string;
    id: string;
    unit: string;
    max_amount: number;
    every_seconds: number | null;
    /** The registry's revision that the limit comes from. */
    revision: number;
    keep_until: number | null;
  };
  /** What is spent of a budget, and held for calls that haven't begun. Its row lock decides. */
  budget_account: {
    tenant: string;
    id: string;
    /** The number of the stretch of time; 0 of a budget that never begins anew. */
    period: number;
    spent: Generated<number>;
    held: Generated<number>;
    keep_until: number | null;
  };
  /** What one attempt of a PEP holds or held. */
  budget_reservation: {
    tenant: string;
    attempt: string;
    pep: string;
    jti: string;
    audience: string;
    charges: JSONColumnType<Charge[]>;
    state: ReservationState;
    expires_ms: number;
    keep_until: number;
  };
  status_list: {
    tenant: string;
    list: number;
    size: number;
    closed: boolean;
    /** The epoch in which it was opened; in any other every token of it is dead. */
    epoch: string;
    /** Tokens that were dead when they were registered: the list changes without a new revocation. */
    late: number;
    /** What was shown, so that it is never taken back. */
    bits: Buffer;
  };
  /** Keys that the feed is or was signed with, and the announcements of those that were announced. */
  feed_key: { tenant: string; kid: string; jws: string | null; at: Generated<Date> };
  /** One row: who sends beats. */
  lease: {
    tenant: string;
    holder: string;
    term: number;
    expires_at: Date;
    /** Never fewer than before: an older copy of the store shows by it. */
    renewals: number;
    feed_ms: number;
    offset_ms: number;
  };
  /** Up to where another service's events are taken in without a gap, and what came beyond. */
  source_position: { tenant: string; source: string; seq: number };
  source_ahead: { tenant: string; source: string; seq: number };
  quarantine: {
    tenant: string;
    id: Generated<number>;
    stream: string;
    subject: string;
    why: string;
    payload: Buffer;
    at: Generated<Date>;
  };
};

export type Trx = Transaction<Tables>;
