import type { PermissionJson } from '@remit/contracts';
import type { ColumnType, JSONColumnType } from 'kysely';

/** The issuer's tables. No token, link, proof or assertion is in them: ids, digests, thumbprints. */
export type IssuerTables = {
  /** Tasks that were started: what a later token of the same task is decided against. */
  tasks: {
    tenant: string;
    id: string;
    type: string;
    user_id: string;
    /** The agent that started it. */
    origin_agent: string;
    /** Thumbprint of the key that its first token is bound to; null for bearer. */
    jkt: string | null;
    /** The instance of the task type. */
    ceiling: JSONColumnType<PermissionJson[]>;
    purpose: string;
    /** No first token of the task is renewed after this. */
    until: Date;
    created_at: ColumnType<Date, never, never>;
  };
  /** Used client assertions. */
  assertions: { tenant: string; client: string; jti_hash: string; expires_at: Date };
  /** Used actor tokens, by the agent that signed them. */
  actor_tokens: { tenant: string; agent: string; jti_hash: string; expires_at: Date };
  /** One row: what nonces are made with. */
  nonce_secret: { tenant: string; secret: Buffer };
  /** Used DPoP proofs. */
  dpop_proofs: { tenant: string; jkt: string; jti_hash: string; expires_at: Date };
};
