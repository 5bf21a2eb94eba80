import { type Scope, ScopeError, scope } from '@remit/capability';
import type { FilterRequest, FilterResponse, Reason } from '@remit/contracts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import type { Circumstances } from '../cedar/request.ts';
import { type DecideDeps, inactive } from '../decide/evaluate.ts';
import { circumstances, meetAll, type RegistryFacts, TooLarge, unionOf } from '../decide/facts.ts';
import { PdpError } from '../errors.ts';
import { judge } from './judge.ts';
import { toolScope } from './tool-scope.ts';

type Verdict = FilterResponse['verdicts'][number];

/**
 * Says of each candidate, an action on a resource or a pattern of resources, whether it may be offered
 * to the agent: the arguments are not known yet. `never`: every call of it would be refused. `local`:
 * the scope admits calls of it that no guardrail can refuse. `online`: each call will be decided, with
 * its arguments. The same scopes, guardrails and walker as a minting decision, so that a tool which is
 * not offered cannot be called, and one that can be called is offered.
 *
 * Does not check tokens, proofs or revocation: the PEP does.
 */
export function filter(
  deps: DecideDeps,
  facts: RegistryFacts,
  set: GuardrailSet,
  request: FilterRequest & { tenant: string },
): FilterResponse {
  const answer = (verdicts: Verdict[]): FilterResponse => ({
    id: deps.newId(),
    verdicts,
    policy_version: set.version,
    registry_revision: facts.revision,
  });
  const none = (reason: Reason) => answer(request.candidates.map(() => never(reason)));

  const present = inactive(facts);
  if ('reason' in present) return none(present.reason);
  const { tool, taskType } = facts;
  if (!tool) return none('target_unknown');
  const task = taskType ? readScope(request.scope) : undefined;
  if (!taskType || !task) return none('task_scope');
  const stages: Stages = {
    task,
    tool: toolScope(tool),
    envelopes: present.actors.map(({ envelope }) => envelope),
    entitlement: present.user.entitlement,
  };
  const about = circumstances({ actors: present.actors, user: present.user, tool }, request, {
    id: request.task.id,
    type: taskType.id,
    purpose: taskType.purpose,
  });
  return answer(
    request.candidates.map((candidate) => {
      try {
        return offer(deps, set, about, stages, candidate);
      } catch (error) {
        if (error instanceof TooLarge) return never('scope_too_large');
        if (!(error instanceof PdpError) || error.code !== 'POLICY_ERROR') throw error;
        deps.onPolicyError?.(['remit:facts']);
        return never('policy_error');
      }
    }),
  );
}

const never = (reason: Reason): Verdict => ({ offer: 'never', reason });

type Stages = {
  task: Scope;
  tool: Scope;
  envelopes: readonly Scope[];
  entitlement: readonly Scope[];
};

function offer(
  deps: DecideDeps,
  set: GuardrailSet,
  about: Circumstances,
  { task, tool, envelopes, entitlement }: Stages,
  { action, resource }: FilterRequest['candidates'][number],
): Verdict {
  const asked = action.includes('*')
    ? undefined
    : readScope([{ actions: [action], resources: [resource], args: 'any' }]);
  if (!asked || asked.permissions.length === 0) return never('arguments_invalid');
  const inTask = meetAll(asked, [task, tool]);
  if (inTask.permissions.length === 0) return never('task_scope');
  const inEnvelopes = meetAll(inTask, envelopes);
  if (inEnvelopes.permissions.length === 0) return never('agent_envelope');
  const entitled = unionOf(entitlement.map((part) => meetAll(inEnvelopes, [part])));
  if (entitled.permissions.length === 0) return never('user_entitlement');

  let online = false;
  for (const permission of entitled.permissions) {
    const { verdict } = judge(
      deps.engine,
      set,
      about,
      permission,
      deps.nowMs(),
      deps.everyCall?.(about.tenant),
    );
    if (verdict === 'local') return { offer: 'local', reason: 'permitted' };
    if (verdict === 'online') online = true;
  }
  return online ? { offer: 'online', reason: 'permitted' } : never('policy_forbid');
}

function readScope(permissions: unknown): Scope | undefined {
  try {
    return scope(permissions);
  } catch (error) {
    if (error instanceof ScopeError) return undefined;
    throw error;
  }
}
