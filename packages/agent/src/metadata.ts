import { AgentError } from './error.ts';
import { endpoint, readJson, send, type Transport } from './http.ts';

/** What the SDK needs of an issuer's metadata. */
export type IssuerMetadata = {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  readonly revocationEndpoint?: string;
};

const WELL_KNOWN = '/.well-known/oauth-authorization-server';

/** The address of an issuer's metadata: the well-known path stands before the issuer's own (RFC 8414 section 3.1). */
function metadataUrl(issuer: URL): string {
  const path = issuer.pathname === '/' ? '' : issuer.pathname;
  return `${issuer.origin}${WELL_KNOWN}${path}`;
}

/**
 * Reads an issuer's metadata (RFC 8414 section 3).
 * Checks that the document names exactly the issuer that was asked for, byte for byte, that its
 * endpoints are addresses that secrets may go to, and that it takes `private_key_jwt`.
 * Does not check a signature: the document is as good as the TLS connection that brought it.
 * Throws AgentError `ISSUER_MISMATCH`, `METADATA_INVALID`, `RESPONSE_INVALID` or `UNREACHABLE`.
 */
export async function discover(issuer: string, transport: Transport): Promise<IssuerMetadata> {
  const url = metadataUrl(endpoint(issuer, transport, 'OPTION_INVALID'));
  const response = await send(transport, url, { headers: { accept: 'application/json' } });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new AgentError('METADATA_INVALID', 'the issuer has no metadata', {
      details: { url, status: response.status },
    });
  }
  const document = await readJson(response);
  if (document.issuer !== issuer) {
    throw new AgentError('ISSUER_MISMATCH', 'the metadata names another issuer', {
      details: { expected: issuer, found: document.issuer ?? null },
    });
  }
  const tokenEndpoint = document.token_endpoint;
  if (typeof tokenEndpoint !== 'string') {
    throw new AgentError('METADATA_INVALID', 'the metadata names no token endpoint');
  }
  endpoint(tokenEndpoint, transport, 'METADATA_INVALID');
  const methods = document.token_endpoint_auth_methods_supported;
  if (!Array.isArray(methods) || !methods.includes('private_key_jwt')) {
    throw new AgentError('METADATA_INVALID', 'the issuer does not take private_key_jwt');
  }
  const revocationEndpoint = document.revocation_endpoint;
  if (revocationEndpoint === undefined) return { issuer, tokenEndpoint };
  if (typeof revocationEndpoint !== 'string') {
    throw new AgentError('METADATA_INVALID', 'the revocation endpoint is no address');
  }
  endpoint(revocationEndpoint, transport, 'METADATA_INVALID');
  return { issuer, tokenEndpoint, revocationEndpoint };
}
