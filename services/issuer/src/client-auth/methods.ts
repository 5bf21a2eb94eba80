import type { AgentBody, TenantBody } from '@remit/contracts';
import { IssuerError } from '../error.ts';
import type { TokenForm } from '../grant/form.ts';
import { holdsKey } from './agent-jwt.ts';
import { presentedAssertion, refuseUnregistered, verifyAssertion } from './private-key-jwt.ts';

/** A client as the registry knows it at this moment. */
export type RegisteredClient = {
  readonly agent: AgentBody;
  readonly active: boolean;
  readonly tenant: TenantBody;
};

/** A client that proved who it is. `keyThumbprint` names the registered key that it used. */
export type AuthenticatedClient = RegisteredClient & { readonly keyThumbprint: string };

export type ClientAuthDeps = {
  /** One look-up in the registry; undefined when there is no such client. */
  readonly lookupClient: (clientId: string) => Promise<RegisteredClient | undefined>;
  /** Remembers an assertion for ever after; false when it was remembered before. */
  readonly rememberAssertion: (assertion: {
    clientId: string;
    jtiHash: string;
    expSeconds: number;
  }) => Promise<boolean>;
  readonly issuer: string;
  readonly nowSeconds: number;
};

type Method = {
  /** Whether a request tries to authenticate in this way. */
  readonly presented: (request: ClientAuthRequest) => boolean;
  readonly authenticate: (
    request: ClientAuthRequest,
    deps: ClientAuthDeps,
  ) => Promise<AuthenticatedClient>;
};

export type ClientAuthRequest = {
  readonly form: TokenForm;
  /** The Authorization header. No method uses it, and one more method is one too many. */
  readonly authorization: string | undefined;
};

/**
 * Every way to authenticate, by its name in `token_endpoint_auth_methods_supported` (RFC 8414).
 * A further method is one more entry; metadata follows.
 */
export const CLIENT_AUTH_METHODS: Readonly<Record<string, Method>> = Object.freeze({
  private_key_jwt: {
    presented: ({ form }) =>
      form.client_assertion !== undefined || form.client_assertion_type !== undefined,
    authenticate: authenticateByAssertion,
  },
});

/**
 * Authenticates the client of a token request (RFC 6749 section 2.3).
 * Checks that exactly one method is used, and what that method checks.
 * Does not check that the agent is active ({@link checkActive}).
 * Throws IssuerError `CLIENT_UNAUTHENTICATED` (`invalid_client`).
 */
export async function authenticateClient(
  request: ClientAuthRequest,
  deps: ClientAuthDeps,
): Promise<AuthenticatedClient> {
  const [method, ...more] = Object.values(CLIENT_AUTH_METHODS).filter((one) =>
    one.presented(request),
  );
  if (!method || more.length > 0 || request.authorization !== undefined) {
    throw new IssuerError('CLIENT_UNAUTHENTICATED', 'Authenticate with one method.', {
      reason: 'client_unauthenticated',
    });
  }
  return method.authenticate(request, deps);
}

/** Checks that an authenticated client may act at all. Throws IssuerError `CLIENT_UNAUTHORIZED`. */
export function checkActive(client: RegisteredClient): void {
  if (client.active) return;
  throw new IssuerError('CLIENT_UNAUTHORIZED', 'The client is suspended.', {
    reason: 'agent_inactive',
    dimension: 'agent',
  });
}

/**
 * Checks that the key that a client used is still registered, for whoever looked the client up again.
 * Throws IssuerError `CLIENT_UNAUTHENTICATED`.
 */
export async function checkKeyRegistered(
  client: AuthenticatedClient,
  now: RegisteredClient,
): Promise<void> {
  if (now.agent === client.agent || (await holdsKey(now.agent.keys, client.keyThumbprint))) return;
  throw new IssuerError('CLIENT_UNAUTHENTICATED', "The client's key is not registered any more.", {
    reason: 'client_unauthenticated',
  });
}

/** Signature first, then the replay memory: an assertion that does not verify uses up nothing. */
async function authenticateByAssertion(
  { form }: ClientAuthRequest,
  deps: ClientAuthDeps,
): Promise<AuthenticatedClient> {
  const presented = presentedAssertion(form);
  const client = await deps.lookupClient(presented.clientId);
  if (!client) throw await refuseUnregistered(presented);
  const verified = await verifyAssertion(presented, {
    agent: client.agent,
    issuer: deps.issuer,
    nowSeconds: deps.nowSeconds,
  });
  if (!(await deps.rememberAssertion(verified))) {
    throw new IssuerError('CLIENT_UNAUTHENTICATED', 'client_assertion was used before.', {
      reason: 'assertion_replayed',
      signedBy: verified.clientId,
    });
  }
  return { ...client, keyThumbprint: verified.thumbprint };
}
