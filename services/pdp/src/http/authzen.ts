import type { EvaluateResponse, PermissionJson } from '@remit/contracts';
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
import type { Decider, Evaluation } from '../decide/decider.ts';
import { PdpError } from '../errors.ts';
import { instantiate } from '../mint/instantiate.ts';
import type { Admit } from './admit.ts';
import { type EvaluationRequest, readEvaluation } from './authzen-request.ts';

const params = {
  type: 'object',
  additionalProperties: false,
  required: ['tenant'],
  properties: { tenant: tenantParam },
} as const;

/** Tasks and audiences that a caller leaves out: names that no registry entry has. */
const NO_TASK = { id: 'none', type: 'none' };
const NO_AUDIENCE = 'urn:remit:no-audience';
const NO_ACTOR: readonly string[] = ['urn:remit:no-agent'];

export type AuthzenDeps = {
  decider: Decider;
  directory: Directory;
  recorder: Recorder;
  admit: Admit;
  metrics: Metrics;
  publicUrl: string;
};

/**
 * OpenID AuthZEN Authorization API 1.0: Access Evaluation (section 6) and metadata (section 9). A deny
 * is 200 with `decision: false`; `context` only when `context.explain` asks for it. The caller is an
 * application of the tenant's identity provider: an access token whose audience is this pdp, of
 * somebody with the role remit-auditor or remit-admin, since the answers say what others may do.
 */
export function authzenRoutes(http: FastifyInstance, deps: AuthzenDeps): void {
  const { admit, decider, recorder, publicUrl } = deps;
  const asked = deps.metrics.counter('remit_pdp_authzen_total', 'AuthZEN evaluations by decision.');

  void http.register(async (scope) => {
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

    scope.post(
      '/t/:tenant/access/v1/evaluation',
      { schema: { params }, config: { consumes: JSON_TYPE } },
      async (request) => {
        const { tenant } = await admit(request, ['remit-auditor', 'remit-admin']);
        const wanted = readEvaluation(request.body);
        const evaluation = await asEvaluation(deps.directory, tenant, wanted);
        const answer = await decider.evaluate(evaluation);
        await record(recorder, evaluation, answer);
        asked.add({ decision: answer.decision });
        return {
          decision: answer.decision === 'allow',
          ...(wanted.context?.explain === true ? { context: explanation(answer) } : {}),
        };
      },
    );
  });

  http.get(
    '/.well-known/authzen-configuration/t/:tenant',
    { schema: { params } },
    async (request) => {
      const identifier = `${publicUrl}/t/${tenantOf(request)}`;
      return {
        policy_decision_point: identifier,
        access_evaluation_endpoint: `${identifier}/access/v1/evaluation`,
      };
    },
  );
}

async function asEvaluation(
  directory: Directory,
  tenant: string,
  { subject, action, resource, context = {} }: EvaluationRequest,
): Promise<Evaluation> {
  const actors = context.actors ?? NO_ACTOR;
  return {
    tenant,
    actors: [...actors],
    // Only people are subjects here; anything else is nobody.
    user: subject.type === 'user' ? subject.id : undefined,
    client: context.client ?? (actors.at(-1) as string),
    task: context.task
      ? { id: context.task.id ?? NO_TASK.id, type: context.task.type }
      : { ...NO_TASK },
    audience: context.audience ?? NO_AUDIENCE,
    scope: context.scope ?? (await taskInstance(directory, tenant, context.task)),
    operation: {
      action: action.name,
      resource: `${resource.type}/${resource.id}`,
      args: context.args ?? {},
    },
  };
}

/** What the task type allows with these slots; nothing where it cannot be filled. */
async function taskInstance(
  directory: Directory,
  tenant: string,
  task: NonNullable<EvaluationRequest['context']>['task'],
): Promise<PermissionJson[]> {
  if (!task) return [];
  const { task_type: found } = await directory.lookup(tenant, { actors: [], task_type: task.type });
  if (!found) return [];
  const taskType = await directory.body(tenant, found.body, 'task-type');
  try {
    return instantiate(taskType, task.slots ?? {}).permissions as unknown as PermissionJson[];
  } catch (error) {
    if (error instanceof PdpError && error.code === 'SLOT_INVALID') return [];
    throw error;
  }
}

/** Over the bus the asker records; here nobody else would. */
async function record(
  recorder: Recorder,
  { tenant, actors, user, client, task, audience, operation, scope }: Evaluation,
  answer: EvaluateResponse,
): Promise<void> {
  await recorder.record(tenant, {
    event: 'decision',
    decision: answer.decision,
    reason: answer.reason,
    principal: user,
    actor: actors.at(-1),
    act_chain: actors,
    origin_agent: actors[0],
    client,
    task,
    audience,
    operation,
    scope,
    miss: answer.miss,
    dimensions: answer.dimensions,
    policies: answer.policies,
    policy_version: answer.policy_version,
    registry_revision: answer.registry_revision,
    decision_id: answer.id,
  });
}

function explanation(answer: EvaluateResponse): Record<string, unknown> {
  const { id, reason, dimensions, miss, policies } = answer;
  return {
    id,
    reason,
    dimensions,
    ...(miss ? { miss } : {}),
    policies,
    policy_version: answer.policy_version,
    registry_revision: answer.registry_revision,
  };
}
