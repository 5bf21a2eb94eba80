import type { EvaluateResponse, PermissionJson } from '@remit/contracts';
import type { Recorder } from '@remit/recorder';
import type { Directory } from '@remit/service-kit';
import type { Evaluation } from '../decide/decider.ts';
import { PdpError } from '../errors.ts';
import { instantiate } from '../mint/instantiate.ts';
import type { Caller } from './authzen-callers.ts';
import { fulfils, inProfile } from './authzen-obligations.ts';
import type { EvaluationContext, EvaluationRequest } from './authzen-request.ts';

/** Tasks and audiences that a caller leaves out: names that no registry entry has. */
const NO_TASK = { id: 'none', type: 'none' };
const NO_AUDIENCE = 'urn:remit:no-audience';
const NO_ACTOR: readonly string[] = ['urn:remit:no-agent'];

/** Reads a ceiling once per task type and slots of a request. */
export type Ceilings = (tenant: string, task: Task) => Promise<PermissionJson[]>;
type Task = EvaluationContext['task'];

/** What the task type allows with its slots; nothing where it cannot be filled. */
export function createCeilings(directory: Directory): Ceilings {
  const known = new Map<string, Promise<PermissionJson[]>>();
  return (tenant, task) => {
    const key = JSON.stringify([tenant, task ?? null]);
    const found = known.get(key) ?? taskInstance(directory, tenant, task);
    known.set(key, found);
    return found;
  };
}

/** What a request leaves out, and the application that asks has a place for. */
export function withClient({ client }: Caller, given: EvaluationContext = {}): EvaluationContext {
  if (!client) return given;
  const { actors = client.actors, task = client.task, audience = client.audience } = given;
  return {
    ...given,
    ...(actors ? { actors } : {}),
    ...(task ? { task } : {}),
    // An application asks about its own tool; about another it learns nothing.
    audience: audience === client.audience ? audience : NO_AUDIENCE,
  };
}

/** An AuthZEN request as the question that a PEP of ours would ask. */
export async function asEvaluation(
  ceilings: Ceilings,
  caller: Caller,
  { subject, action, resource, context: given }: EvaluationRequest,
): Promise<Evaluation> {
  const context = withClient(caller, given);
  const actors = context.actors ?? NO_ACTOR;
  const { tenant } = caller;
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
    scope: context.scope ?? (await ceilings(tenant, context.task)),
    operation: {
      action: action.name,
      resource: `${resource.type}/${resource.id}`,
      args: context.args ?? {},
    },
    ...(context.signals ? { signals: context.signals } : {}),
    attested: {
      subject: subject.properties,
      action: action.properties,
      resource: resource.properties,
    },
  };
}

async function taskInstance(
  directory: Directory,
  tenant: string,
  task: Task,
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

/** The asker cannot do what the allow rests on: then it is none. */
export function forAsker(
  answer: EvaluateResponse,
  supported: readonly string[] | undefined,
): EvaluateResponse {
  if (answer.decision === 'deny' || fulfils(supported, answer.obligations ?? [])) return answer;
  return { ...answer, decision: 'deny', reason: 'obligation_unfulfilled' };
}

/**
 * A decision in AuthZEN's words. `context` is there only when it was asked for, or when the decision
 * is worth nothing without it: an allow with obligations.
 */
export function inAuthzen(answer: EvaluateResponse, { explain = false }: { explain?: boolean }) {
  const { decision, obligations = [] } = answer;
  const allowed = decision === 'allow';
  const asked = explain || (allowed && obligations.length > 0);
  return {
    decision: allowed,
    ...(asked
      ? {
          context: {
            ...(explain ? explanation(answer) : {}),
            ...(obligations.length > 0 ? { obligations: obligations.map(inProfile) } : {}),
          },
        }
      : {}),
  };
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

/** Over the bus the asker records; here nobody else would. */
export async function recordDecision(
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
    obligations: answer.obligations,
    policy_version: answer.policy_version,
    registry_revision: answer.registry_revision,
    decision_id: answer.id,
  });
}
