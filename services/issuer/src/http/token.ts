import type { FastifyInstance } from 'fastify';
import { exchangeToken } from '../grant/exchange.ts';
import { REPEATABLE, type TokenForm, tokenForm } from '../grant/form.ts';
import type { SignedToken } from '../grant/issue.ts';
import { tokenResponse } from '../grant/response.ts';
import { nowSeconds } from '../grant/session.ts';
import type { IssuerMetrics } from '../metrics.ts';
import { issuedRecord } from '../records.ts';
import { type EndpointDeps, microsecondsSince, oauthEndpoint } from './oauth-endpoint.ts';

/**
 * `POST /t/:tenant/token` (RFC 6749 section 3.2, RFC 8693). Every token that leaves was recorded
 * before; a token whose record could not be kept does not leave (`temporarily_unavailable`).
 */
export function tokenRoute(http: FastifyInstance, deps: EndpointDeps): void {
  const { issuer, metrics, recorder } = deps;
  oauthEndpoint<TokenForm>(http, deps, {
    name: 'token',
    path: '/t/:tenant/token',
    form: tokenForm,
    repeatable: REPEATABLE,
    async answer(asked, trail, { reply, startedMs }) {
      const { tenant } = asked;
      if (issuer.nonces && asked.proof !== undefined) {
        // The next proof then needs no second request, whatever comes of this one (RFC 9449
        // section 8.2).
        const next = await issuer.nonces.issue(tenant, nowSeconds(issuer));
        void reply.header('dpop-nonce', next);
      }
      const signed = await exchangeToken(issuer, asked, trail);
      await recorder.record(tenant, issuedRecord(signed, trail, microsecondsSince(startedMs)));
      count(signed, startedMs, metrics);
      return tokenResponse(signed);
    },
    onRefused({ reason, startedMs, known }) {
      metrics.seconds.observe(secondsSince(startedMs), { outcome: 'refused' });
      if (known) metrics.refused.add({ reason });
    },
  });
}

function count(
  { token, jkt, signer, origin }: SignedToken,
  startedMs: number,
  metrics: IssuerMetrics,
) {
  const type = jkt === undefined ? 'Bearer' : 'DPoP';
  metrics.issued.add({ grant: origin.grant, type, alg: signer.alg });
  metrics.bytes.observe(token.length);
  metrics.seconds.observe(secondsSince(startedMs), { outcome: 'issued' });
}

function secondsSince(startedMs: number): number {
  return (performance.now() - startedMs) / 1_000;
}
