import type { FastifyInstance } from 'fastify';
import { authorizationServerMetadata, issuerUrl } from '../metadata.ts';
import type { TokenKeys } from '../token-keys.ts';
import { requireTenant, tenantParams } from './tenant.ts';

/** Short, so that a next key is known everywhere before it signs. */
const CACHE = 'public, max-age=60';

/**
 * What a tenant's issuer publishes: its metadata, with the well-known path before the issuer's own
 * (RFC 8414 section 3.1), and all its token keys (RFC 7517, RFC 9964).
 */
export function publishedRoutes(
  http: FastifyInstance,
  { publicUrl, tokenKeys }: { publicUrl: string; tokenKeys: TokenKeys },
): void {
  const schema = { params: tenantParams };
  http.get(
    '/.well-known/oauth-authorization-server/t/:tenant',
    { schema },
    async (request, reply) => {
      const tenant = requireTenant(request, tokenKeys);
      void reply.header('cache-control', CACHE);
      return authorizationServerMetadata(issuerUrl(publicUrl, tenant));
    },
  );
  http.get('/t/:tenant/jwks.json', { schema }, async (request, reply) => {
    const tenant = requireTenant(request, tokenKeys);
    void reply.header('cache-control', CACHE);
    return tokenKeys.published(tenant);
  });
}
