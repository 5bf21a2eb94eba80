import { AGENT_KEY_ALGORITHMS } from './client-auth/agent-jwt.ts';
import { CLIENT_AUTH_METHODS } from './client-auth/methods.ts';
import { DETAIL_TYPES, GRANT_TYPES } from './grant/names.ts';
import { PROOF_ALGORITHMS } from './grant/proof.ts';

/** The issuer URL of a tenant: the `iss` of its tokens and the `aud` of client assertions. */
export function issuerUrl(publicUrl: string, tenant: string): string {
  return `${publicUrl}/t/${tenant}`;
}

/**
 * The metadata of a tenant's issuer (RFC 8414 section 2): what this version does and nothing else.
 * There is no authorization endpoint, so `response_types_supported`, which is required, is empty.
 */
export function authorizationServerMetadata(issuer: string) {
  return {
    issuer,
    token_endpoint: `${issuer}/token`,
    introspection_endpoint: `${issuer}/introspect`,
    revocation_endpoint: `${issuer}/revoke`,
    jwks_uri: `${issuer}/jwks.json`,
    response_types_supported: [],
    grant_types_supported: [GRANT_TYPES.tokenExchange],
    ...clientAuthentication('token'),
    ...clientAuthentication('introspection'),
    ...clientAuthentication('revocation'),
    dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS],
    authorization_details_types_supported: Object.values(DETAIL_TYPES),
  };
}

/** The same at every endpoint; a client that reads RFC 8414 expects it named for each. */
function clientAuthentication(endpoint: 'introspection' | 'revocation' | 'token') {
  return {
    [`${endpoint}_endpoint_auth_methods_supported`]: Object.keys(CLIENT_AUTH_METHODS),
    [`${endpoint}_endpoint_auth_signing_alg_values_supported`]: Object.keys(AGENT_KEY_ALGORITHMS),
  };
}
