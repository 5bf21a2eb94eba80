import type { PublicJwk } from '@remit/contracts';
import { MAX_AGENT_ID } from '../client-auth/agent-jwt.ts';
import type { ClientAuthForm } from '../client-auth/form.ts';
import {
  type AuthenticatedClient,
  authenticateClient,
  type ClientAuthDeps,
  type Proved,
} from '../client-auth/methods.ts';
import type { IssuerDeps } from '../deps.ts';
import { issuerUrl } from '../metadata.ts';
import { lookUpClient } from './facts.ts';
import { nowSeconds } from './session.ts';

/** The part of a request by which its client authenticates. */
type Asking = {
  readonly tenant: string;
  readonly form: ClientAuthForm;
  readonly authorization: string | undefined;
};

/** A resource server: the tool of an audience, which is the id that it authenticates under. */
export type ResourceServer = { readonly audience: string; readonly keys: readonly PublicJwk[] };

const MAX_AUDIENCE = 2_048;

/** Authenticates an agent. Throws IssuerError `CLIENT_UNAUTHENTICATED` or `SERVICE_UNAVAILABLE`. */
export function authenticateAgent(deps: IssuerDeps, asking: Asking): Promise<AuthenticatedClient> {
  const { services } = deps;
  return authenticateClient(asking, {
    ...common(deps, asking),
    maxIdLength: MAX_AGENT_ID,
    lookupClient: (id) => lookUpClient(services.directory, asking.tenant, id),
    identityOf: ({ agent }) => agent,
  });
}

/**
 * Authenticates a resource server by a key that the registry has for its tool; `sub` is the audience,
 * an absolute URI, so that no agent has the same id. Throws as {@link authenticateAgent}.
 */
export function authenticateResourceServer(
  deps: IssuerDeps,
  asking: Asking,
): Promise<Proved<ResourceServer>> {
  return authenticateClient(asking, {
    ...common(deps, asking),
    maxIdLength: MAX_AUDIENCE,
    lookupClient: (audience) => lookUpServer(deps, asking.tenant, audience),
    identityOf: ({ audience, keys }) => ({ id: audience, keys }),
  });
}

async function lookUpServer(
  { services: { directory } }: IssuerDeps,
  tenant: string,
  audience: string,
): Promise<ResourceServer | undefined> {
  const found = await directory.lookup(tenant, { actors: [], audience });
  if (found.tenant.status !== 'active' || !found.tool) return undefined;
  const tool = await directory.body(tenant, found.tool.body, 'tool');
  // A tool without keys has nothing to authenticate with; the name alone is none.
  if (tool.audience !== audience || tool.keys === undefined) return undefined;
  return { audience, keys: tool.keys };
}

function common(
  deps: IssuerDeps,
  { tenant }: Asking,
): Pick<ClientAuthDeps<unknown>, 'issuer' | 'nowSeconds' | 'rememberAssertion'> {
  return {
    issuer: issuerUrl(deps.publicUrl, tenant),
    nowSeconds: nowSeconds(deps),
    rememberAssertion: (assertion) => deps.replay.rememberAssertion(tenant, assertion),
  };
}
