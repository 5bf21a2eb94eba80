import { type Capability, readCapability } from './capability.ts';
import { toAuthorizationDetails } from './details.ts';

type Act = { readonly sub: string; readonly act?: Act };

function nest(actors: readonly string[]): Act | undefined {
  return actors.reduce<Act | undefined>(
    (inner, sub) => (inner === undefined ? { sub } : { sub, act: inner }),
    undefined,
  );
}

/**
 * The claims of a capability as the payload of a JWT (RFC 9068). The result is read back with
 * `readCapability` first, so nothing is signed that would be refused.
 *
 * Doesn't decide anything: the scope must be the meet that a decision allowed.
 *
 * @throws TokenError as `readCapability`
 */
export function capabilityPayload(capability: Capability): Readonly<Record<string, unknown>> {
  const { confirmation, singleUse, budgets, mayAct, approval } = capability;
  const payload = {
    iss: capability.issuer,
    aud: capability.audience,
    jti: capability.id,
    iat: capability.issuedAt,
    nbf: capability.notBefore,
    exp: capability.expiresAt,
    sub: capability.subject,
    act: nest(capability.actors),
    client_id: capability.clientId,
    tenant: capability.tenant,
    task: capability.task,
    authorization_details: toAuthorizationDetails(capability.scope),
    lineage: capability.lineage,
    depth: capability.depth,
    rev: capability.rev,
    status: { status_list: capability.status },
    policy: capability.policy,
    ...(confirmation && {
      cnf: 'jkt' in confirmation ? confirmation : { 'x5t#S256': confirmation.x5tS256 },
    }),
    ...(singleUse !== undefined && { single_use: singleUse }),
    ...(budgets && { budgets }),
    ...(mayAct && {
      may_act: {
        actors: mayAct.map(({ sub, jkt, scope }) => ({ sub, jkt, permissions: scope.permissions })),
      },
    }),
    ...(capability.links && { links: true }),
    ...(approval !== undefined && { approval }),
  };
  readCapability(payload);
  return payload;
}
