import { closed, text } from '@remit/contracts';
import { tenantOf, tenantParam, wireError } from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import type { StatusLists } from '../domain/status-list.ts';

const NUMBER = /^(0|[1-9][0-9]{0,8})$/;

/**
 * `GET /t/:tenant/status/:list`: the Token Status List as a signed JWT (section 8.1 of the draft), for
 * parties that don't follow the feed. No authentication: a list says nothing but which random index is
 * revoked. `exp` and `ttl` inside go before what HTTP says about caching.
 */
export function statusRoute(http: FastifyInstance, lists: StatusLists): void {
  http.get(
    '/t/:tenant/status/:list',
    { schema: { params: closed({ tenant: tenantParam, list: text(16) }) } },
    async (request, reply) => {
      const tenant = tenantOf(request);
      const { list } = request.params as { list: string };
      const found = NUMBER.test(list) ? await lists.get(tenant, Number(list)) : undefined;
      if (!found) throw wireError('NOT_FOUND');
      void reply.headers({
        etag: found.etag,
        'last-modified': new Date(found.iat * 1_000).toUTCString(),
        'cache-control': `public, max-age=${found.ttlSeconds}`,
        'access-control-allow-origin': '*',
      });
      if (matchesEtag(request.headers['if-none-match'], found.etag)) {
        return reply.code(304).send();
      }
      return reply.header('content-type', 'application/statuslist+jwt').send(found.jws);
    },
  );
}

/** RFC 9110 section 13.1.2, weak comparison. */
function matchesEtag(given: string | undefined, etag: string): boolean {
  if (given === undefined) return false;
  if (given.trim() === '*') return true;
  return given.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}
