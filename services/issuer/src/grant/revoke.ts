import type { IssuerDeps } from '../deps.ts';
import { IssuerError } from '../error.ts';
import { authenticateAgent } from './authenticate.ts';
import type { TokenStateForm } from './form.ts';
import { nowSeconds } from './session.ts';
import { findHeldToken } from './subject-token.ts';
import type { Trail } from './trail.ts';

/** Seconds after its end in which a token is still revoked: other clocks may be behind. */
const LATE_SECONDS = 60;

/**
 * Revokes a token with all its descendants for an agent that holds it or held one that it descends
 * from (RFC 7009 section 2.1; 05, What can be revoked, and by whom); of a chain, its last link, which
 * nobody has heard of before. The client's registered key is
 * what is proved: an agent that lost the key of its token can still give the token up. A suspended
 * agent can too, for less authority is never refused.
 * A text that is no token of this issuer, or one that has ended, is revoked already (section 2.2):
 * `nothing`. A token in whose chain the client does not stand is refused and recorded.
 * Throws IssuerError `CLIENT_UNAUTHENTICATED`, `SUBJECT_TOKEN_INVALID` or `SERVICE_UNAVAILABLE`.
 */
export async function revokeToken(
  deps: IssuerDeps,
  request: { tenant: string; form: TokenStateForm; authorization: string | undefined },
  trail: Trail,
): Promise<'nothing' | 'revoked'> {
  const { tenant, form } = request;
  const client = await authenticateAgent(deps, request);
  const { id } = client.agent;
  trail.client = id;
  const keys = [client.keyThumbprint];
  if ((await deps.services.check(tenant, { tokens: [], tasks: [], keys })).revoked) {
    throw new IssuerError('CLIENT_UNAUTHENTICATED', "The client's key is revoked.", {
      reason: 'key_revoked',
    });
  }
  const held = findHeldToken(deps, tenant, form.token);
  if (held === undefined) return 'nothing';
  const { capability, links } = held;
  trail.held = capability;
  trail.links = links;
  trail.taskId = capability.task.id;
  trail.taskType = capability.task.type;
  if (!capability.actors.includes(id)) {
    throw new IssuerError('SUBJECT_TOKEN_INVALID', 'The token was issued to another agent.', {
      reason: 'holder_mismatch',
    });
  }
  if (capability.expiresAt + LATE_SECONDS < nowSeconds(deps)) return 'nothing';
  await deps.services.revoke(tenant, {
    kind: links.length > 0 ? 'link' : 'token',
    id: capability.id,
    by: { kind: 'agent', id },
  });
  return 'revoked';
}
