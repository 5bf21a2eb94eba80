import type { Reason } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import { FORM_TYPE, formatErrors, type Logger, tenantOf } from '@remit/service-kit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import type { IssuerDeps } from '../deps.ts';
import { IssuerError } from '../error.ts';
import type { Trail } from '../grant/trail.ts';
import type { IssuerMetrics } from '../metrics.ts';
import { refusedRecord } from '../records.ts';
import { toOAuthError } from './oauth-errors.ts';
import { requireTenant, tenantParams } from './tenant.ts';

export type EndpointDeps = {
  readonly issuer: IssuerDeps;
  readonly recorder: Pick<Recorder, 'countStranger' | 'record'>;
  readonly metrics: IssuerMetrics;
  readonly log: Logger;
};

/** A request as it arrived. `proof` is the DPoP header, `authorization` the header of that name. */
export type Asked<Form> = {
  readonly tenant: string;
  readonly form: Form;
  readonly proof: string | undefined;
  readonly authorization: string | undefined;
};

/** One endpoint to which clients post a form: token (RFC 6749), revocation, introspection. */
export type OAuthEndpoint<Form> = {
  /** For records. */
  readonly name: 'introspect' | 'revoke' | 'token';
  readonly path: string;
  /** A closed schema. */
  readonly form: TSchema;
  readonly repeatable?: readonly string[];
  /**
   * Answers, or throws IssuerError. Writes what is proved to `trail`: a refusal of a client that is
   * in it is recorded, every other is counted.
   */
  readonly answer: (
    asked: Asked<Form>,
    trail: Trail,
    more: { reply: FastifyReply; startedMs: number },
  ) => Promise<object>;
  /** `known`: by an agent that proved who it is. */
  readonly onRefused: (refused: { reason: Reason; startedMs: number; known: boolean }) => void;
};

/** Errors that were recorded or counted on their way; the others never reached the handler. */
const judged = new WeakSet<Error>();

/**
 * Serves one endpoint. Every refusal of a client that proved who it is leaves a record of
 * its own; what strangers send is counted. A request for a nonce is neither: the same client comes
 * again with it at once.
 */
export function oauthEndpoint<Form>(
  http: FastifyInstance,
  deps: EndpointDeps,
  endpoint: OAuthEndpoint<Form>,
): void {
  const { form, path, repeatable } = endpoint;
  void http.register(async (scope) => {
    formatErrors(scope, 'oauth');
    scope.addHook('onError', async (request, _reply, error) => {
      if (!judged.has(error)) countMalformed(request, deps);
    });
    scope.post(
      path,
      {
        schema: { params: tenantParams, body: form },
        config: { consumes: FORM_TYPE, ...(repeatable && { repeatable }) },
      },
      async (request, reply) => {
        const startedMs = performance.now();
        const trail: Trail = {};
        try {
          const answer = await endpoint.answer(readRequest(request, deps), trail, {
            reply,
            startedMs,
          });
          // RFC 6749 section 5.1, beside the Cache-Control that every answer has.
          void reply.header('pragma', 'no-cache');
          return answer;
        } catch (error) {
          throw await refuse(error, { request, trail, startedMs, deps, endpoint });
        }
      },
    );
  });
}

export function microsecondsSince(startedMs: number): number {
  return Math.round((performance.now() - startedMs) * 1_000);
}

function readRequest<Form>(request: FastifyRequest, { issuer }: EndpointDeps): Asked<Form> {
  const { dpop, authorization } = request.headers;
  return {
    tenant: requireTenant(request, issuer.tokenKeys),
    form: request.body as Form,
    // Several DPoP headers arrive joined by commas, which no proof holds (RFC 9449 section 4.3).
    proof: Array.isArray(dpop) ? dpop.join(', ') : dpop,
    authorization,
  };
}

type Refused = {
  request: FastifyRequest;
  trail: Trail;
  startedMs: number;
  deps: EndpointDeps;
  endpoint: Pick<OAuthEndpoint<never>, 'name' | 'onRefused'>;
};

/** Records or counts a refusal and returns the error to answer with. */
async function refuse(error: unknown, refused: Refused): Promise<Error> {
  const { request, trail, startedMs, deps, endpoint } = refused;
  const known = error instanceof IssuerError;
  const judgement = known ? error : unexpected(error);
  const { reason } = judgement.context;
  let record: { id: string } | undefined;
  if (judgement.code === 'PROOF_NONCE_NEEDED') deps.metrics.challenges.add({});
  else {
    const isRecorded = knows(judgement, refused);
    endpoint.onRefused({ reason, startedMs, known: isRecorded });
    if (isRecorded) record = await keep(judgement, refused);
    else if (trail.server === undefined) countStranger(request, reason, deps);
  }
  const answer = known
    ? toOAuthError(error, trail.client === undefined ? undefined : record)
    : asError(error);
  judged.add(answer);
  return answer;
}

/** Whether an agent said something that was proved, though it may not be authenticated by it. */
function knows({ context }: IssuerError, { trail, endpoint }: Refused): boolean {
  if (endpoint.name === 'introspect') return false;
  return trail.client !== undefined || context.signedBy !== undefined;
}

/** A refusal stays one when its record cannot be kept; the recorder counts what it could not keep. */
async function keep(
  error: IssuerError,
  { request, trail, startedMs, deps, endpoint }: Refused,
): Promise<{ id: string } | undefined> {
  try {
    const record = refusedRecord(error, trail, {
      latencyUs: microsecondsSince(startedMs),
      endpoint: endpoint.name,
    });
    return await deps.recorder.record(tenantOf(request), record);
  } catch (cause) {
    deps.log.error({ err: cause, reason: error.context.reason }, 'a refusal is not recorded');
    return undefined;
  }
}

function countMalformed(request: FastifyRequest, deps: EndpointDeps): void {
  const { tenant } = request.params as { tenant?: string };
  if (tenant !== undefined) countStranger(request, 'request_malformed', deps);
}

function countStranger(request: FastifyRequest, reason: Reason, deps: EndpointDeps): void {
  deps.metrics.strangers.add({ reason });
  const { tenant = '' } = request.params as { tenant?: string };
  // Nobody audits a tenant that there is not.
  if (!deps.issuer.tokenKeys.published(tenant)) return;
  deps.recorder.countStranger(tenant, { source: request.ip, reason, event: 'token.refused' });
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
