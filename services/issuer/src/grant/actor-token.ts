import type { JsonObject } from '@remit/contracts';
import {
  type AgentJwtKind,
  claimedAgent,
  MAX_AGENT_ID,
  unregistered,
  verifyAgentJwt,
} from '../client-auth/agent-jwt.ts';
import type { AuthenticatedClient, RegisteredClient } from '../client-auth/methods.ts';
import { IssuerError } from '../error.ts';

const ACTOR_TOKEN: AgentJwtKind = {
  name: 'actor_token',
  types: new Set(['remit-actor+jwt']),
  refused,
};
const CLAIMS = new Set(['aud', 'cnf', 'exp', 'iat', 'iss', 'jti', 'nbf', 'sub']);
const MAX_SECONDS = 300;

/** The agent that is to act next, and the key that its token will be bound to. */
export type NextActor = AuthenticatedClient & { readonly jkt: string };

export type ActorTokenOptions = {
  readonly issuer: string;
  readonly nowSeconds: number;
  /** One look-up in the registry; undefined when there is no such agent. */
  readonly lookupAgent: (id: string) => Promise<RegisteredClient | undefined>;
  /** Remembers an actor token for ever after; false when it was remembered before. */
  readonly rememberActorToken: (token: {
    agent: string;
    jtiHash: string;
    expSeconds: number;
  }) => Promise<boolean>;
};

/**
 * Verifies an actor token: an agent's word that it will act, and with which key (RFC 8693 section
 * 2.1; 02, Delegation at the issuer).
 * Checks what {@link verifyAgentJwt} checks, under the type `remit-actor+jwt`, which no client
 * assertion has; that it is at most 5 minutes old and lives no longer than that; that its claims are
 * known ones, for one that is ignored could be a restriction; `cnf` with a `jkt` alone; last, that it
 * is new at every replica.
 * Does not check that the agent is active, nor whether the subject token may be handed to it.
 * Throws IssuerError `ACTOR_TOKEN_INVALID` (`invalid_request`).
 */
export async function verifyActorToken(
  jwt: string,
  options: ActorTokenOptions,
): Promise<NextActor> {
  const { issuer, nowSeconds } = options;
  const registered = await options.lookupAgent(claimedAgent(jwt, ACTOR_TOKEN, MAX_AGENT_ID));
  if (!registered) throw await unregistered(jwt, ACTOR_TOKEN);
  const { agent } = registered;
  const verified = await verifyAgentJwt(jwt, ACTOR_TOKEN, {
    signer: agent,
    issuer,
    nowSeconds,
  });
  const { claims, iatSeconds, expSeconds, jtiHash, thumbprint } = verified;
  if (nowSeconds - iatSeconds > MAX_SECONDS) {
    throw refused('actor_token is older than 5 minutes.');
  }
  if (expSeconds - iatSeconds > MAX_SECONDS) throw refused('actor_token lives too long.');
  if (!Object.keys(claims).every((claim) => CLAIMS.has(claim))) {
    throw refused('actor_token has a claim that is not known.');
  }
  const jkt = readThumbprint(claims);
  if (await options.rememberActorToken({ agent: agent.id, jtiHash, expSeconds })) {
    return { ...registered, keyThumbprint: thumbprint, jkt };
  }
  throw new IssuerError('ACTOR_TOKEN_INVALID', 'actor_token was used before.', {
    reason: 'actor_token_replayed',
  });
}

/** RFC 9449 section 6.1, closed: a confirmation with more in it may mean less. */
function readThumbprint({ cnf }: JsonObject): string {
  if (typeof cnf === 'object' && cnf !== null && !Array.isArray(cnf)) {
    const { jkt, ...more } = cnf;
    const digest = typeof jkt === 'string' && /^[A-Za-z0-9_-]{43}$/.test(jkt) ? jkt : undefined;
    if (digest !== undefined && Object.keys(more).length === 0) return digest;
  }
  throw refused('actor_token names no key to bind to.');
}

function refused(message: string, cause?: unknown): IssuerError {
  return new IssuerError('ACTOR_TOKEN_INVALID', message, { reason: 'actor_token_invalid', cause });
}
