import type { AgentBody, PublicJwk, TenantBody } from '@remit/contracts';
import { IssuerError } from '../error.ts';
import { holdsKey } from './agent-jwt.ts';
import type { ClientAuthForm } from './form.ts';
import { presentedAssertion, refuseUnregistered, verifyAssertion } from './private-key-jwt.ts';

/** An agent as the registry knows it at this moment: the client of token and revocation requests. */
export type RegisteredClient = {
  readonly agent: AgentBody;
  readonly active: boolean;
  readonly tenant: TenantBody;
};

/** A client that proved who it is. `keyThumbprint` names the registered key that it used. */
export type Proved<Client> = Client & { readonly keyThumbprint: string };
export type AuthenticatedClient = Proved<RegisteredClient>;

/** Under which id a client authenticates, and with which keys. */
export type ClientIdentity = { readonly id: string; readonly keys: readonly PublicJwk[] };

export type ClientAuthDeps<Client> = {
  /** One look-up in the registry; undefined when there is no such client. */
  readonly lookupClient: (clientId: string) => Promise<Client | undefined>;
  readonly identityOf: (client: Client) => ClientIdentity;
  /** The longest id that a client can have, characters; nobody is looked up by a longer one. */
  readonly maxIdLength: number;
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
  /** Whether a request tries to authenticate in this way, however badly. */
  readonly presented: (request: ClientAuthRequest) => boolean;
  /**
   * Proves the client, or throws IssuerError `CLIENT_UNAUTHENTICATED`: with one sentence and after
   * the same work for a client that is not registered, a key that is not and a proof that is wrong.
   */
  readonly authenticate: <Client>(
    request: ClientAuthRequest,
    deps: ClientAuthDeps<Client>,
  ) => Promise<Proved<Client>>;
};

/** What of a request a method may look at. One that needs more (a certificate, say) adds it here. */
export type ClientAuthRequest = {
  readonly form: ClientAuthForm;
  /** The Authorization header. No method uses it, and one more method is one too many. */
  readonly authorization: string | undefined;
};

/**
 * Every way to authenticate, by its name in `token_endpoint_auth_methods_supported` (RFC 8414): at
 * the token, introspection and revocation endpoints alike.
 *
 * A further method (mTLS, SPIFFE, attestation) is one more entry here, its file beside this one and,
 * where it brings parameters, their names in `clientAuthParameters`; metadata and all endpoints
 * follow. It must name a registered key by its thumbprint, for that is what a revocation of a key
 * names, and remember what must be used once through `rememberAssertion`.
 */
export const CLIENT_AUTH_METHODS: Readonly<Record<string, Method>> = Object.freeze({
  private_key_jwt: {
    presented: ({ form }: ClientAuthRequest) =>
      form.client_assertion !== undefined || form.client_assertion_type !== undefined,
    authenticate: authenticateByAssertion,
  },
});

/**
 * Authenticates the client of a request (RFC 6749 section 2.3).
 * Checks that exactly one method is used, and what that method checks.
 * Does not check that the client is active ({@link checkActive}) or that its key is not revoked.
 * Throws IssuerError `CLIENT_UNAUTHENTICATED` (`invalid_client`).
 */
export async function authenticateClient<Client>(
  request: ClientAuthRequest,
  deps: ClientAuthDeps<Client>,
): Promise<Proved<Client>> {
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
async function authenticateByAssertion<Client>(
  { form }: ClientAuthRequest,
  deps: ClientAuthDeps<Client>,
): Promise<Proved<Client>> {
  const presented = presentedAssertion(form, deps.maxIdLength);
  const client = await deps.lookupClient(presented.clientId);
  if (!client) throw await refuseUnregistered(presented);
  const verified = await verifyAssertion(presented, {
    signer: deps.identityOf(client),
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
