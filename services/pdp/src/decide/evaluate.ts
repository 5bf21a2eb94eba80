import { type Operation, parseOperation, type Scope, ScopeError, scope } from '@remit/capability';
import {
  type Dimensions,
  type EvaluateRequest,
  type EvaluateResponse,
  MAX_OBLIGATIONS,
  type MissJson,
  type Obligation,
  type Reason,
} from '@remit/contracts';
import type { CallFacts } from '../cedar/call-facts.ts';
import type { Engine, EngineAnswer } from '../cedar/engine.ts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { PLATFORM_POLICY } from '../cedar/platform.ts';
import { PdpError } from '../errors.ts';
import {
  type ActorFacts,
  allPermit,
  anyPermits,
  circumstances,
  type RegistryFacts,
  type UserFacts,
} from './facts.ts';

/** What a decision needs besides facts. */
export type DecideDeps = {
  engine: Engine;
  nowMs: () => number;
  newId: () => string;
  /** Told of every decision that a policy error refused: an alarm, not a usual deny. */
  onPolicyError?: (policies: readonly string[]) => void;
  /** Whether something beside the guardrails has a say in every call of a tenant. */
  everyCall?: (tenant: string) => boolean;
};

/** At most this many policy ids travel in an answer. */
export const MAX_POLICY_IDS = 64;

export const NOT_EVALUATED: Dimensions = {
  agent: 'not_evaluated',
  user: 'not_evaluated',
  task: 'not_evaluated',
  policies: 'not_evaluated',
};

/** A request to evaluate, with what is known of the call beside it. */
export type EvaluationRequest = Omit<EvaluateRequest, 'user'> & {
  tenant: string;
  user?: string | undefined;
} & Pick<CallFacts, 'attested' | 'session'>;

/**
 * Decides one operation: the envelope of every actor, the user's entitlement, the task's scope as the
 * PEP verified it, and the guardrails. Cedar's answer is the decision, under a policy that permits
 * only when all three verdicts are true.
 *
 * Denies what it cannot check: an unknown or inactive actor or user, an operation or scope that cannot
 * be read, an unknown audience or task type, a fact that Cedar cannot hold, any error of any policy.
 * Does not check tokens, proofs or revocation: the PEP does. In the answer, `dimensions.policies` is
 * the guardrails' own verdict, so that it differs from the three others where only they refuse.
 */
export function evaluate(
  deps: DecideDeps,
  facts: RegistryFacts,
  set: GuardrailSet,
  request: EvaluationRequest,
): EvaluateResponse {
  const answer = (
    reason: Reason,
    dimensions: Dimensions,
    more: {
      miss?: MissJson | undefined;
      policies?: readonly string[];
      obligations?: readonly Obligation[];
    } = {},
  ): EvaluateResponse => ({
    id: deps.newId(),
    decision: reason === 'permitted' ? 'allow' : 'deny',
    reason,
    dimensions,
    ...(more.miss ? { miss: more.miss } : {}),
    policies: (more.policies ?? []).slice(0, MAX_POLICY_IDS),
    ...(more.obligations?.length ? { obligations: [...more.obligations] } : {}),
    policy_version: set.version,
    registry_revision: facts.revision,
  });

  const operation = readOperation(request.operation);
  if (!operation) return answer('arguments_invalid', NOT_EVALUATED);
  const taskScope = readScope(request.scope);
  if (!taskScope) return answer('task_scope', { ...NOT_EVALUATED, task: 'deny' });
  const present = inactive(facts);
  if ('reason' in present) return answer(present.reason, present.dimensions);

  const misses = {
    agent: allPermit(
      present.actors.map((actor) => actor.envelope),
      operation,
    ),
    user: anyPermits(present.user.entitlement, operation),
    task: facts.taskType ? anyPermits([taskScope], operation) : ({ kind: 'empty' } as const),
  };
  const verdicts = { agent: !misses.agent, user: !misses.user, task: !misses.task };
  const dimensions: Dimensions = {
    agent: verdicts.agent ? 'allow' : 'deny',
    user: verdicts.user ? 'allow' : 'deny',
    task: verdicts.task ? 'allow' : 'deny',
    policies: 'not_evaluated',
  };
  const { tool } = facts;
  if (!tool) return answer('target_unknown', dimensions);

  const about = () =>
    circumstances({ actors: present.actors, user: present.user, tool }, request, {
      id: request.task.id,
      type: request.task.type,
      purpose: facts.taskType?.purpose ?? '',
    });
  const { approval, signals, session, attested } = request;
  const question = {
    ...operation,
    dimensions: verdicts,
    nowMs: deps.nowMs(),
    call: { approval, signals, session, attested },
  };
  const actor = present.actors.at(-1)?.agent.id ?? '';
  const { firm, duties } = candidates(set, { principal: actor, ...operation });
  const cedar = askCedar(() => deps.engine.ask(set, about(), question, firm));
  const objecting = cedar.failed.length > 0 || cedar.forbidding.length > 0;
  dimensions.policies = objecting ? 'deny' : 'allow';
  const failed = (policies: readonly string[]) => {
    dimensions.policies = 'deny';
    deps.onPolicyError?.(policies);
    return answer('policy_error', dimensions, { policies });
  };
  if (cedar.failed.length > 0) return failed(cedar.failed);
  if (
    cedar.decision === 'allow' &&
    !objecting &&
    verdicts.agent &&
    verdicts.user &&
    verdicts.task
  ) {
    // What a duty forbids is allowed to whoever fulfils it.
    const due =
      duties.length === 0
        ? undefined
        : askCedar(() => deps.engine.ask(set, about(), question, duties));
    if (due && due.failed.length > 0) return failed(due.failed);
    const asked = obligationsOf(set, due?.forbidding ?? []);
    if (asked.length > MAX_OBLIGATIONS) return failed(due?.forbidding ?? []);
    return answer('permitted', dimensions, { policies: [PLATFORM_POLICY], obligations: asked });
  }
  const policies = cedar.forbidding;
  if (misses.agent) return answer('agent_envelope', dimensions, { miss: misses.agent, policies });
  if (misses.user) return answer('user_entitlement', dimensions, { miss: misses.user, policies });
  if (misses.task) return answer('task_scope', dimensions, { miss: misses.task, policies });
  if (!objecting) return answer('policy_error', dimensions, { policies });
  const remedies = obligationsOf(set, policies);
  // One that no remedy changes makes the others pointless.
  if (remedies.length < policies.length || remedies.length > MAX_OBLIGATIONS)
    return answer('policy_forbid', dimensions, { policies });
  const reason = remedies.some(({ type }) => type === 'approval')
    ? 'approval_required'
    : 'step_up_required';
  return answer(reason, dimensions, { policies, obligations: remedies });
}

/** The guardrails that can apply: those that forbid, and those that ask for something. */
function candidates(
  set: GuardrailSet,
  { principal, action, resource }: { principal: string; action: string; resource: string },
): { firm: number[]; duties: number[] } {
  const all = set.index.candidates({ principal, action }, resource);
  const isDuty = (position: number) => set.guardrails[position]?.asks?.kind === 'duty';
  return { firm: all.filter((one) => !isDuty(one)), duties: all.filter(isDuty) };
}

function obligationsOf(set: GuardrailSet, ids: readonly string[]): Obligation[] {
  return ids.flatMap((id) => {
    const asks = set.byId.get(id)?.asks;
    return asks ? [{ id, type: asks.type, properties: { ...asks.properties } }] : [];
  });
}

type Present = { actors: readonly ActorFacts[]; user: UserFacts };

/** The first party that the registry does not know or that is switched off. */
export function inactive(
  facts: RegistryFacts,
): Present | { reason: Reason; dimensions: Dimensions } {
  if (!facts.tenantActive) return { reason: 'tenant_unknown', dimensions: NOT_EVALUATED };
  const actors = facts.actors.filter((actor) => actor?.active === true) as ActorFacts[];
  if (actors.length === 0 || actors.length !== facts.actors.length)
    return { reason: 'agent_inactive', dimensions: { ...NOT_EVALUATED, agent: 'deny' } };
  if (!facts.user?.active)
    return { reason: 'user_inactive', dimensions: { ...NOT_EVALUATED, user: 'deny' } };
  return { actors, user: facts.user };
}

/** Cedar's answer; what could not be asked is a policy that failed. */
export function askCedar(ask: () => EngineAnswer): EngineAnswer {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof PdpError) || error.code !== 'POLICY_ERROR') throw error;
    return { decision: 'deny', forbidding: [], failed: ['remit:facts'] };
  }
}

function readOperation(input: EvaluateRequest['operation']): Operation | undefined {
  try {
    return parseOperation(input);
  } catch (error) {
    if (error instanceof ScopeError) return undefined;
    throw error;
  }
}

function readScope(input: unknown): Scope | undefined {
  try {
    return scope(input);
  } catch (error) {
    if (error instanceof ScopeError) return undefined;
    throw error;
  }
}
