import { capabilityPayload, checkTimes, TokenError } from '@remit/capability';
import type { IssuerDeps } from '../deps.ts';
import { IssuerError } from '../error.ts';
import { authenticateResourceServer } from './authenticate.ts';
import type { TokenStateForm } from './form.ts';
import { nowSeconds } from './session.ts';
import { findHeldToken, type HeldToken, jktOf, subjectsOf } from './subject-token.ts';
import type { Trail } from './trail.ts';

/** What a resource server learns. Everything that is not a live token for it looks the same. */
export type Introspection =
  | { readonly active: false }
  | { readonly active: true; readonly [claim: string]: unknown };

const INACTIVE: Introspection = Object.freeze({ active: false });

/**
 * Answers a resource server about a token that was presented to it (RFC 7662 section 2).
 * Checks: the caller is the tool whose audience the token has, byte for byte; signature, claims and
 * time of the token; that the revocation service knows nothing against it or the caller's key now. A
 * service that does not answer is an error, never an answer.
 * Returns the token's own claims. Where something that the token was decided from may have changed
 * since (a `recheck`), every permission comes back with `check: "online"`: whoever cannot ask the PDP
 * per call must refuse it, as it must refuse whatever it does not know.
 * Does not check the proof of a bound token: the resource server compares `cnf` with the proof that it
 * was shown. A chain of links is for PEPs alone and never active here.
 * Throws IssuerError `CLIENT_UNAUTHENTICATED`, `REQUEST_INVALID` or `SERVICE_UNAVAILABLE`.
 */
export async function introspect(
  deps: IssuerDeps,
  request: { tenant: string; form: TokenStateForm; authorization: string | undefined },
  trail: Trail,
): Promise<Introspection> {
  const { tenant, form } = request;
  const server = await authenticateResourceServer(deps, request);
  trail.server = server.audience;
  const held = findHeldToken(deps, tenant, form.token);
  const { revoked } = await deps.services.check(tenant, {
    tokens: held === undefined ? [] : [subjectsOf(held)],
    tasks: [],
    keys: [server.keyThumbprint],
  });
  if (revoked?.kind === 'key') deps.tokenKeys.distrust(tenant, revoked.id);
  if (revoked?.kind === 'key' && revoked.id === server.keyThumbprint) {
    throw new IssuerError('CLIENT_UNAUTHENTICATED', "The client's key is revoked.", {
      reason: 'key_revoked',
    });
  }
  if (held === undefined || held.links.length > 0 || revoked !== undefined) return INACTIVE;
  const { capability } = held;
  if (capability.audience !== server.audience) return INACTIVE;
  const rechecked = await deps.services.recheckedSince(tenant, capability.rev);
  // Last, after everything that was waited for.
  if (!lives(held, nowSeconds(deps))) return INACTIVE;
  const claims = capabilityPayload(capability);
  return {
    ...claims,
    active: true,
    token_type: jktOf(capability) === undefined ? 'Bearer' : 'DPoP',
    ...(rechecked && { authorization_details: online(claims.authorization_details) }),
  };
}

function lives({ capability }: HeldToken, now: number): boolean {
  try {
    checkTimes(capability, now);
    return true;
  } catch (error) {
    if (error instanceof TokenError) return false;
    throw error;
  }
}

function online(details: unknown): object[] {
  return (details as object[]).map((detail) => ({ ...detail, check: 'online' }));
}
