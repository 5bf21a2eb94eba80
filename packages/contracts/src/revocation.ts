import { type Static, Type } from 'typebox';
import { budgetRegistration } from './budgets.ts';
import { publicJwk } from './registry.ts';
import { closed, count, oneOf, text } from './schema.ts';
import { cloudEvent } from './signed.ts';

/** What a revocation names. `token` and `link` also hit every lineage that holds the id. */
export const revocationKind = oneOf(
  'token',
  'link',
  'task',
  'agent',
  'user',
  'client',
  'tenant',
  'key',
);
export type RevocationKind = Static<typeof revocationKind>;

/** A point in a tenant's revocations: the store's epoch and the sequence reached in it. */
export const revSchema = closed({ epoch: text(64), seq: count });
export type Rev = Static<typeof revSchema>;

/**
 * One entry of a tenant's feed. `revoke` refuses what it names; `recheck` makes PEPs ask the PDP
 * for every call of a token decided before `seq` (kind and id are then `tenant` and the tenant).
 * `ends` (epoch seconds) is when no token that it could hit can live any more; entries of keys
 * have none and stay.
 */
export const revocationEntry = closed({
  epoch: text(64),
  seq: count,
  verb: oneOf('revoke', 'recheck'),
  kind: revocationKind,
  id: text(),
  at: count,
  ends: Type.Optional(count),
});
export type RevocationEntry = Static<typeof revocationEntry>;

/**
 * What travels on `remit.revocation.<tenant>`, signed. `subject` is the tenant, inside the signature:
 * a receiver compares it with its own, since sequences of two tenants look alike.
 */
export const revocationEvent = cloudEvent(revocationEntry);

/** How long a beat goes on listing the head of a tenant that moved, in ms of the feed's clock. */
export const BEAT_HEADS_MS = 60_000;

/** A beat: `heads` maps the tags of tenants that moved lately to their committed heads. */
export const revocationBeat = closed({
  shard: Type.Integer({ minimum: 0, maximum: 63 }),
  epoch: text(64),
  /** Counts the leader's database leases; a lower one is refused. */
  term: count,
  /** Counts the beats within a term. */
  n: count,
  /** The feed's clock, epoch milliseconds. */
  time: count,
  heads: Type.Record(Type.String(), count),
});
export type RevocationBeat = Static<typeof revocationBeat>;

/**
 * The next key of the revocation service's feed and answers, signed by a present one. It travels beside
 * the beats and is repeated, since whoever joins late knows only the key that signed it.
 */
export const feedKey = closed({ use: Type.Literal('revocation'), jwk: publicJwk, at: count });
export type FeedKey = Static<typeof feedKey>;

export const headRequest = closed({ nonce: text(64) });
/** The committed head, bound to the asker's nonce; ties the feed's clock to the asker's monotonic one. */
export const headResponse = closed({
  nonce: text(64),
  epoch: text(64),
  seq: count,
  term: count,
  time: count,
  /** The key of this tenant in a beat's `heads`: HMAC-SHA-256 under the feed secret. */
  tag: text(64),
});
export type HeadResponse = Static<typeof headResponse>;

export const sinceRequest = closed({ epoch: text(64), after: count });
/**
 * Entries after a sequence, oldest first, at most 512 kB; ask again from the last one while `more`.
 * `floor` instead of entries: those up to it can hit nothing any more and are forgotten, so that a
 * snapshot is what helps.
 */
export const sinceResponse = closed({
  epoch: text(64),
  head: count,
  entries: Type.Array(revocationEntry, { maxItems: 2_000 }),
  more: Type.Boolean(),
  floor: Type.Optional(count),
});
export type SinceResponse = Static<typeof sinceResponse>;

export const snapshotRequest = closed({ nonce: text(64), cursor: Type.Optional(text(64)) });
/** A page of all entries that can still hit a token; `seq` is the head that the pages together reach. */
export const snapshotResponse = closed({
  nonce: text(64),
  epoch: text(64),
  seq: count,
  tag: text(64),
  entries: Type.Array(revocationEntry, { maxItems: 2_000 }),
  next: Type.Optional(text(64)),
});
export type SnapshotResponse = Static<typeof snapshotResponse>;

/** What of a presented token or chain a revocation could name. */
export const tokenSubjects = closed({
  jti: text(64),
  lineage: Type.Array(text(64), { maxItems: 64 }),
  rev: revSchema,
  task: text(64),
  actors: Type.Array(text(), { minItems: 1, maxItems: 9 }),
  user: text(),
  client: text(),
  keys: Type.Array(text(128), { maxItems: 16 }),
});
export type TokenSubjects = Static<typeof tokenSubjects>;

/** What is about to be used: presented tokens, and keys and tasks by themselves. */
export const checkRequest = closed({
  tokens: Type.Array(tokenSubjects, { maxItems: 2 }),
  tasks: Type.Array(text(64), { maxItems: 2 }),
  keys: Type.Array(text(128), { maxItems: 16 }),
});
/** A revocation that hits a token: by what, and whether through an ancestor. */
export const revocationHit = closed({ kind: revocationKind, id: text(), ancestor: Type.Boolean() });

/** `revoked` names the first revocation that hits; `head` was read before, from the database. */
export const checkResponse = closed({
  head: revSchema,
  revoked: Type.Optional(revocationHit),
});
export type CheckRequest = Static<typeof checkRequest>;
export type CheckResponse = Static<typeof checkResponse>;

/** A token about to be signed: only ids, thumbprints and the claims that revocation needs. */
export const registerRequest = closed({
  ...tokenSubjects.properties,
  exp: count,
  /** With a first token: what its budgets are. */
  budgets: Type.Optional(Type.Array(budgetRegistration, { maxItems: 16 })),
});
export const registerResponse = closed({ idx: count, uri: text(2_048) });
export type RegisterRequest = Static<typeof registerRequest>;

/** Who revoked: a person of the tenant's IdP, a holder, or a service in its own name. */
export const revokedBy = closed({
  kind: oneOf('user', 'agent', 'service'),
  id: text(),
});
export const revokeRequest = closed({
  kind: revocationKind,
  id: text(),
  reason: Type.Optional(text(256)),
  by: revokedBy,
});
export const revokeResponse = closed({ epoch: text(64), seq: count, time: count });
export type RevokeRequest = Static<typeof revokeRequest>;
export type RevokeResponse = Static<typeof revokeResponse>;

/** An id of the capability model, e.g. a use id: what `readCapability` takes. */
const useId = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' });
/** 128 random bits of one call at one PEP: the same attempt gets the same answer. */
const attemptId = Type.String({ pattern: '^[A-Za-z0-9_-]{22}$' });

/**
 * One use of a single-use token, as the last check of a call that nothing else refuses. `use_id` is
 * what the token and all its descendants share; `token` is the one presented, as the PEP verified it.
 */
export const consumeRequest = closed({
  use_id: useId,
  attempt: attemptId,
  token: closed({ ...tokenSubjects.properties, exp: count, task_type: text(128) }),
  audience: text(2_048),
});
/**
 * `consumed` is this attempt's alone, for ever; `spent`: another attempt has it; `revoked`: nothing
 * was consumed, and `revoked` names the first revocation that hits.
 */
export const consumeResponse = closed({
  outcome: oneOf('consumed', 'spent', 'revoked'),
  revoked: Type.Optional(revocationHit),
});
/**
 * The first use of a DPoP proof at any instance of an audience. `proof` is the SHA-256 of what names
 * it; the row is kept for `keep_seconds` of the feed's clock, longer than any instance takes the proof.
 */
export const claimRequest = closed({
  proof: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
  attempt: attemptId,
  keep_seconds: Type.Integer({ minimum: 1, maximum: 900 }),
});
/** `claimed` is this attempt's alone; `replayed`: another attempt has it. */
export const claimResponse = closed({ outcome: oneOf('claimed', 'replayed') });
export type ClaimRequest = Static<typeof claimRequest>;
export type ClaimResponse = Static<typeof claimResponse>;
export type ConsumeRequest = Static<typeof consumeRequest>;
export type ConsumeResponse = Static<typeof consumeResponse>;
