import type { FastifyInstance } from 'fastify';
import { type TokenStateForm, tokenStateForm } from '../grant/form.ts';
import { introspect } from '../grant/introspect.ts';
import { revokeToken } from '../grant/revoke.ts';
import { type EndpointDeps, oauthEndpoint } from './oauth-endpoint.ts';

/**
 * `POST /t/:tenant/introspect` (RFC 7662) for resource servers. Answers are counted, not recorded:
 * nothing is decided here.
 */
export function introspectionRoute(http: FastifyInstance, deps: EndpointDeps): void {
  const { introspections } = deps.metrics;
  oauthEndpoint<TokenStateForm>(http, deps, {
    name: 'introspect',
    path: '/t/:tenant/introspect',
    form: tokenStateForm,
    async answer(asked, trail) {
      const found = await introspect(deps.issuer, asked, trail);
      introspections.add({ outcome: found.active ? 'active' : 'inactive' });
      return found;
    },
    onRefused: () => introspections.add({ outcome: 'refused' }),
  });
}

/**
 * `POST /t/:tenant/revoke` (RFC 7009) for agents. The body of a successful answer says nothing. The
 * revocation service records what it revokes.
 */
export function revocationRoute(http: FastifyInstance, deps: EndpointDeps): void {
  const { revocations } = deps.metrics;
  oauthEndpoint<TokenStateForm>(http, deps, {
    name: 'revoke',
    path: '/t/:tenant/revoke',
    form: tokenStateForm,
    async answer(asked, trail) {
      revocations.add({ outcome: await revokeToken(deps.issuer, asked, trail) });
      return {};
    },
    onRefused: () => revocations.add({ outcome: 'refused' }),
  });
}
