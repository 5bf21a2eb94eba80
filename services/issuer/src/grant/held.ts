import { MAX_TOKEN_LENGTH } from '@remit/capability';
import { checkKeyRegistered, type RegisteredClient } from '../client-auth/methods.ts';
import { IssuerError } from '../error.ts';
import { issuerUrl } from '../metadata.ts';
import { lookUpAgents } from './facts.ts';
import { verifyHolderProof } from './proof.ts';
import { nowSeconds, type Session } from './session.ts';
import { checkHolder, type HeldToken, verifyHeldToken } from './subject-token.ts';

/**
 * Opens the access token of an exchange, a chain of links behind it included, for the client that holds it: signature and claims, that the
 * client is its current actor, that it lives, and that the client has the key that it is bound to.
 * What the token says enters the trail as soon as its signature is verified.
 * Does not check revocations: the head does, next.
 * Throws IssuerError `SUBJECT_TOKEN_INVALID`, `PROOF_INVALID` or `REQUEST_INVALID`.
 */
export async function openHeldToken(session: Session, token: string): Promise<HeldToken> {
  const { deps, tenant, client, trail } = session;
  if (token.length + (session.proof?.length ?? 0) > MAX_TOKEN_LENGTH) {
    throw new IssuerError(
      'SUBJECT_TOKEN_INVALID',
      'The subject token, its links and the proof are larger than 12 KB together.',
      { reason: 'token_too_large' },
    );
  }
  const held = verifyHeldToken(token, {
    issuer: issuerUrl(deps.publicUrl, tenant),
    tenant,
    keys: (kid) => deps.tokenKeys.verifyKey(tenant, kid),
  });
  const { capability, links } = held;
  trail.held = capability;
  trail.links = links;
  trail.user = capability.subject;
  trail.audience = capability.audience;
  trail.taskId = capability.task.id;
  trail.taskType = capability.task.type;
  checkHolder(held, client.agent.id, nowSeconds(deps));
  const jkt = await verifyHolderProof(session, held);
  if (jkt !== undefined) trail.jkt = jkt;
  return held;
}

/**
 * Looks all actors up again, after the head was read: what changes from here on is a revocation or a
 * recheck that the new token is older than. Checks that each is active and that the client's key is
 * still registered. Returns them in the order asked.
 * Throws IssuerError `CLIENT_UNAUTHORIZED`, `CLIENT_UNAUTHENTICATED` or `DELEGATION_REFUSED`.
 */
export async function lookUpActors(
  { deps, tenant, client }: Session,
  ids: readonly string[],
): Promise<RegisteredClient[]> {
  const found = await lookUpAgents(deps.services.directory, tenant, ids);
  const actors = ids.map((id) => {
    const actor = found.get(id);
    if (actor?.active) return actor;
    const own = id === client.agent.id;
    throw new IssuerError(
      own ? 'CLIENT_UNAUTHORIZED' : 'DELEGATION_REFUSED',
      own ? 'The client is suspended.' : 'An agent of the chain is not active.',
      { reason: 'agent_inactive', dimension: 'agent' },
    );
  });
  const own = found.get(client.agent.id);
  if (own) await checkKeyRegistered(client, own);
  return actors;
}
