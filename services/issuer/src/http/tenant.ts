import { closed } from '@remit/contracts';
import { tenantOf, tenantParam, wireError } from '@remit/service-kit';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { TokenKeys } from '../token-keys.ts';

/** Schema of the path parameters of every route below a tenant. */
export const tenantParams = closed({ tenant: Type.Unsafe<string>(tenantParam) });

/** The tenant of a route, which this issuer signs for. Throws WireError `TENANT_UNKNOWN` (404). */
export function requireTenant(request: FastifyRequest, tokenKeys: TokenKeys): string {
  const tenant = tenantOf(request);
  if (!tokenKeys.published(tenant)) throw wireError('TENANT_UNKNOWN');
  return tenant;
}
