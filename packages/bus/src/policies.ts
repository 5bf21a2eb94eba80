import type { RpcMethod } from '@remit/contracts';

/** How long a request waits, and how often the same request is sent again. */
export type BusPolicy = {
  /** Milliseconds until one attempt counts as unanswered. */
  readonly timeoutMs: number;
  /** Further attempts after the first, with the same request bytes. */
  readonly retries: number;
  /** Milliseconds before a further attempt; half of it is random. */
  readonly backoffMs: number;
};

/** Every policy by name. Handlers name one; no other place waits, retries or times out. */
export const BUS_POLICIES = {
  /** Reads without an effect. */
  read: { timeoutMs: 750, retries: 2, backoffMs: 50 },
  /** Pages of a snapshot, up to 512 kB each. */
  page: { timeoutMs: 2_000, retries: 2, backoffMs: 100 },
  /** Decisions: the answer is used at once or not at all. */
  decide: { timeoutMs: 2_000, retries: 0, backoffMs: 0 },
  /** What changes something: the caller decides whether an unknown outcome is asked again. */
  write: { timeoutMs: 2_000, retries: 0, backoffMs: 0 },
  /**
   * What changes something once, however often it is sent: the request names its attempt. Two and a
   * half seconds at most, so that a restart of the callee is survived.
   */
  attempt: { timeoutMs: 500, retries: 3, backoffMs: 150 },
  /** What a caller on a PEP's hot path can wait for. */
  quick: { timeoutMs: 250, retries: 0, backoffMs: 0 },
} as const satisfies Record<string, BusPolicy>;

export type BusPolicyName = keyof typeof BUS_POLICIES;

/** The policy of each method when the caller names none. */
export const METHOD_POLICY: { readonly [M in RpcMethod]: BusPolicyName } = {
  'pdp.evaluate': 'decide',
  'pdp.filter': 'decide',
  'pdp.mint': 'decide',
  'registry.body': 'read',
  'registry.lookup': 'read',
  'revocation.check': 'read',
  'revocation.claim': 'attempt',
  'revocation.commit': 'attempt',
  'revocation.consume': 'attempt',
  'revocation.head': 'read',
  'revocation.register': 'write',
  'revocation.release': 'attempt',
  'revocation.reserve': 'attempt',
  'revocation.revoke': 'write',
  'revocation.since': 'page',
  'revocation.snapshot': 'page',
};

/** Waiting that is not a call. All in milliseconds. */
export const BUS_TIMES = {
  /** How long the first connection is tried before connecting fails. */
  firstConnectMs: 10_000,
  /** Between attempts to connect again; up to `reconnectJitterMs` are added. */
  reconnectWaitMs: 100,
  reconnectJitterMs: 400,
  /** A silent server is noticed after (`maxPingsOut` + 1) intervals. */
  pingIntervalMs: 500,
  maxPingsOut: 2,
  /** One attempt of a JetStream publish. */
  publishTimeoutMs: 400,
  /** Further attempts of a JetStream publish under the same message id. */
  publishRetries: 2,
  /** Requests to the JetStream API. */
  apiTimeoutMs: 2_000,
  /** A flush, and a drain while closing. */
  flushTimeoutMs: 2_000,
  /** Requests in work when a callee stops; what takes longer goes without an answer. */
  stopTimeoutMs: 2_000,
  /** Pull requests of a consumer, and the silence after which its loop is rebuilt. */
  pullExpiresMs: 5_000,
  pullHeartbeatMs: 1_000,
  /** Before a consumer's loop starts again; half of it is random. */
  consumeBackoffMs: 500,
  /** Before a message whose handler failed comes again. */
  nakDelayMs: 1_000,
  /** Before a message comes again that nobody acknowledged, and nobody says is in work. */
  ackWaitMs: 30_000,
} as const;
