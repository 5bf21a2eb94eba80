import type { Recorder } from '@remit/recorder';
import {
  type Directory,
  JSON_TYPE,
  type Metrics,
  sendError,
  tenantOf,
  tenantParam,
  toWireError,
  wireError,
} from '@remit/service-kit';
import type { FastifyInstance } from 'fastify';
import type { Decider, Evaluate } from '../decide/decider.ts';
import type { Admit } from './admit.ts';
import { type AuthzenFile, type Caller, createCallers } from './authzen-callers.ts';
import {
  asEvaluation,
  type Ceilings,
  createCeilings,
  forAsker,
  inAuthzen,
  recordDecision,
} from './authzen-evaluate.ts';
import {
  type EvaluationRequest,
  type Item,
  readEvaluation,
  readEvaluations,
  readSearch,
  type SearchKind,
  type Semantic,
} from './authzen-request.ts';
import { search } from './authzen-search.ts';

const params = {
  type: 'object',
  additionalProperties: false,
  required: ['tenant'],
  properties: { tenant: tenantParam },
} as const;

export type AuthzenDeps = {
  decider: Decider;
  directory: Directory;
  recorder: Recorder;
  admit: Admit;
  metrics: Metrics;
  publicUrl: string;
  file: AuthzenFile;
  /** Requests worked on at once; more are answered 503 at once. */
  maxInFlight: number;
};

const ROUTE = { schema: { params }, config: { consumes: JSON_TYPE } } as const;
const BATCH_LIMIT_BYTES = 262_144;
const SEARCHES: readonly SearchKind[] = ['subject', 'resource', 'action'];

/**
 * OpenID AuthZEN Authorization API 1.0: Access Evaluation (section 6), Access Evaluations (7), searches
 * (8) and metadata (9). A deny is 200 with `decision: false`; `context` only when `context.explain`
 * asks for it or obligations come with the decision. The caller is an application with a key, or
 * somebody with an access token for this pdp and the role remit-auditor or remit-admin: the answers
 * say what others may do. Every evaluation leaves a record; a search leaves one for the question.
 */
export function authzenRoutes(http: FastifyInstance, deps: AuthzenDeps): void {
  const { decider, directory, publicUrl } = deps;
  const callerOf = createCallers(deps.file, deps.admit);
  const asked = deps.metrics.counter('remit_pdp_authzen_total', 'AuthZEN evaluations by decision.');

  async function decide(
    caller: Caller,
    wanted: EvaluationRequest,
    evaluate: Evaluate,
    ceilings: Ceilings,
  ) {
    const evaluation = await asEvaluation(ceilings, caller, wanted);
    const { explain, supported_obligations: supported } = wanted.context ?? {};
    const answer = forAsker(await evaluate(evaluation), supported);
    await recordDecision(deps.recorder, evaluation, answer);
    asked.add({ decision: answer.decision });
    return inAuthzen(answer, { explain: explain === true });
  }

  const one = (caller: Caller, body: unknown) =>
    decide(caller, readEvaluation(body), decider.evaluate, createCeilings(directory));

  /** In their order, one after the other: a semantic may end the batch at any of them. */
  async function many(caller: Caller, items: readonly Item[], semantic: Semantic) {
    const evaluate = decider.batch();
    const ceilings = createCeilings(directory);
    const evaluations: object[] = [];
    for (const item of items) {
      const answer =
        'error' in item
          ? { decision: false, context: { error: { status: 400, message: item.error } } }
          : await decide(caller, item.request, evaluate, ceilings);
      evaluations.push(answer);
      if (semantic === 'deny_on_first_deny' && !answer.decision) break;
      if (semantic === 'permit_on_first_permit' && answer.decision) break;
    }
    return { evaluations };
  }

  void http.register(async (scope) => {
    limitInFlight(scope, deps.maxInFlight);
    scope.setErrorHandler((error, request, reply) => {
      const wire = toWireError(error);
      if (wire.code === 'INTERNAL') request.log.error({ err: error }, 'a request failed inside');
      // The certification scenario wants 400 for another content type too.
      const said =
        wire.code === 'UNSUPPORTED_MEDIA_TYPE'
          ? wireError('INVALID_REQUEST', { detail: wire.message })
          : wire;
      return sendError('authzen', said, request, reply);
    });

    scope.post('/t/:tenant/access/v1/evaluation', ROUTE, async (request) =>
      one(await callerOf(request), request.body),
    );

    scope.post(
      '/t/:tenant/access/v1/evaluations',
      { ...ROUTE, bodyLimit: BATCH_LIMIT_BYTES },
      async (request) => {
        const caller = await callerOf(request);
        const batch = readEvaluations(request.body);
        return batch ? many(caller, batch.items, batch.semantic) : one(caller, request.body);
      },
    );

    for (const kind of SEARCHES) {
      scope.post(`/t/:tenant/access/v1/search/${kind}`, ROUTE, async (request) => {
        const caller = await callerOf(request);
        const answer = await search(deps, caller, kind, readSearch(kind, request.body));
        await deps.recorder.record(caller.tenant, {
          event: 'admin.query',
          decision: 'allow',
          reason: 'permitted',
          principal: caller.id,
          detail: { search: kind, results: answer.results.length },
        });
        return answer;
      });
    }
  });

  http.get(
    '/.well-known/authzen-configuration/t/:tenant',
    { schema: { params } },
    async (request) => {
      const identifier = `${publicUrl}/t/${tenantOf(request)}`;
      const at = `${identifier}/access/v1`;
      return {
        policy_decision_point: identifier,
        access_evaluation_endpoint: `${at}/evaluation`,
        access_evaluations_endpoint: `${at}/evaluations`,
        search_subject_endpoint: `${at}/search/subject`,
        search_resource_endpoint: `${at}/search/resource`,
        search_action_endpoint: `${at}/search/action`,
      };
    },
  );
}

/** Past the limit a request is refused before anything of it is read; refused is never allowed. */
function limitInFlight(scope: FastifyInstance, max: number): void {
  let inFlight = 0;
  scope.addHook('onRequest', async (_request, reply) => {
    if (inFlight >= max) throw wireError('OVERLOADED');
    inFlight += 1;
    // Also when the asker hangs up: `finish` never comes then.
    reply.raw.once('close', () => {
      inFlight -= 1;
    });
  });
}
