import type { Reason } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import { FORM_TYPE, formatErrors, type Logger, tenantOf } from '@remit/service-kit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { IssuerDeps } from '../deps.ts';
import { IssuerError } from '../error.ts';
import { exchangeToken } from '../grant/exchange.ts';
import { REPEATABLE, type TokenForm, tokenForm } from '../grant/form.ts';
import type { SignedToken } from '../grant/issue.ts';
import { tokenResponse } from '../grant/response.ts';
import type { Trail } from '../grant/trail.ts';
import type { IssuerMetrics } from '../metrics.ts';
import { issuedRecord, refusedRecord } from '../records.ts';
import { toOAuthError } from './oauth-errors.ts';
import { requireTenant, tenantParams } from './tenant.ts';

export type TokenRouteDeps = {
  readonly issuer: IssuerDeps;
  readonly recorder: Pick<Recorder, 'countStranger' | 'record'>;
  readonly metrics: IssuerMetrics;
  readonly log: Logger;
};

/**
 * `POST /t/:tenant/token` (RFC 6749 section 3.2, RFC 8693). Every token that leaves was recorded
 * before; a token whose record could not be kept does not leave (`temporarily_unavailable`). Every
 * refusal of a client that proved who it is leaves a record of its own; what strangers send is
 * counted.
 */
export function tokenRoute(http: FastifyInstance, deps: TokenRouteDeps): void {
  void http.register(async (scope) => {
    formatErrors(scope, 'oauth');
    scope.addHook('onError', async (request, _reply, error) => {
      if (!judged.has(error)) countMalformed(request, deps);
    });
    scope.post<{ Body: TokenForm }>(
      '/t/:tenant/token',
      {
        schema: { params: tenantParams, body: tokenForm },
        config: { consumes: FORM_TYPE, repeatable: REPEATABLE },
      },
      async (request, reply) => {
        const started = performance.now();
        const trail: Trail = {};
        let signed: SignedToken;
        try {
          signed = await exchangeToken(deps.issuer, readRequest(request, deps), trail);
          await deps.recorder.record(
            tenantOf(request),
            issuedRecord(signed, trail, microsecondsSince(started)),
          );
        } catch (error) {
          throw await refuse(error, { request, trail, started, deps });
        }
        count(signed, started, deps.metrics);
        // RFC 6749 section 5.1, beside the Cache-Control that every answer has.
        void reply.header('pragma', 'no-cache');
        return tokenResponse(signed);
      },
    );
  });
}

/** Errors that were recorded or counted on their way; the others never reached the handler. */
const judged = new WeakSet<Error>();

function readRequest(request: FastifyRequest<{ Body: TokenForm }>, { issuer }: TokenRouteDeps) {
  const { dpop, authorization } = request.headers;
  return {
    tenant: requireTenant(request, issuer.tokenKeys),
    form: request.body,
    // Several DPoP headers arrive joined by commas, which no proof holds (RFC 9449 section 4.3).
    proof: Array.isArray(dpop) ? dpop.join(', ') : dpop,
    authorization,
  };
}

type Refused = {
  request: FastifyRequest;
  trail: Trail;
  started: number;
  deps: TokenRouteDeps;
};

/** Records or counts a refusal and returns the error to answer with. */
async function refuse(error: unknown, refused: Refused): Promise<Error> {
  const { request, trail, started, deps } = refused;
  const { metrics } = deps;
  const known = error instanceof IssuerError;
  const judgement = known ? error : unexpected(error);
  const { reason, signedBy } = judgement.context;
  metrics.seconds.observe((performance.now() - started) / 1_000, { outcome: 'refused' });
  let record: { id: string } | undefined;
  if (trail.client === undefined && signedBy === undefined) {
    countStranger(request, reason, deps);
  } else {
    metrics.refused.add({ reason });
    record = await keep(judgement, refused);
  }
  const answer = known
    ? toOAuthError(error, trail.client === undefined ? undefined : record)
    : asError(error);
  judged.add(answer);
  return answer;
}

/** A refusal stays one when its record cannot be kept; the recorder counts what it could not keep. */
async function keep(
  error: IssuerError,
  { request, trail, started, deps }: Refused,
): Promise<{ id: string } | undefined> {
  try {
    const record = refusedRecord(error, trail, microsecondsSince(started));
    return await deps.recorder.record(tenantOf(request), record);
  } catch (cause) {
    deps.log.error({ err: cause, reason: error.context.reason }, 'a refusal is not recorded');
    return undefined;
  }
}

function countMalformed(request: FastifyRequest, deps: TokenRouteDeps): void {
  const { tenant } = request.params as { tenant?: string };
  if (tenant !== undefined) countStranger(request, 'request_malformed', deps);
}

function countStranger(request: FastifyRequest, reason: Reason, deps: TokenRouteDeps): void {
  deps.metrics.strangers.add({ reason });
  const { tenant = '' } = request.params as { tenant?: string };
  // Nobody audits a tenant that there is not.
  if (!deps.issuer.tokenKeys.published(tenant)) return;
  deps.recorder.countStranger(tenant, { source: request.ip, reason, event: 'token.refused' });
}

function count(
  { token, jkt, signer, origin }: SignedToken,
  started: number,
  metrics: IssuerMetrics,
): void {
  const type = jkt === undefined ? 'Bearer' : 'DPoP';
  metrics.issued.add({ grant: origin.grant, type, alg: signer.alg });
  metrics.bytes.observe(token.length);
  metrics.seconds.observe((performance.now() - started) / 1_000, { outcome: 'issued' });
}

/** A record that cannot be kept is a refusal with a reason of its own; anything else is a fault. */
function unexpected(cause: unknown): IssuerError {
  const audit = (cause as { code?: unknown } | undefined)?.code === 'AUDIT_UNAVAILABLE';
  const reason = audit ? 'audit_unavailable' : 'internal';
  return new IssuerError('INTERNAL', 'Something failed inside.', { reason, cause });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function microsecondsSince(started: number): number {
  return Math.round((performance.now() - started) * 1_000);
}
