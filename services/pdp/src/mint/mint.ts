import {
  type Excess,
  excess,
  type Permission,
  type Scope,
  ScopeError,
  scope,
} from '@remit/capability';
import {
  type AgentBody,
  type Dimension,
  type Dimensions,
  FREE_TASK_TYPE,
  type MintRequest,
  type MintResponse,
  type MissJson,
  type PermissionJson,
  type Reason,
  type TaskTypeBody,
} from '@remit/contracts';
import type { GuardrailSet } from '../cedar/guardrails.ts';
import { PLATFORM_POLICY } from '../cedar/platform.ts';
import type { Circumstances } from '../cedar/request.ts';
import { type DecideDeps, inactive, MAX_POLICY_IDS, NOT_EVALUATED } from '../decide/evaluate.ts';
import { circumstances, meetAll, type RegistryFacts, TooLarge, unionOf } from '../decide/facts.ts';
import { PdpError } from '../errors.ts';
import { instantiate } from './instantiate.ts';
import { judge } from './judge.ts';
import { toolScope } from './tool-scope.ts';

type Refused = NonNullable<MintResponse['refused']>;

/** A refusal on the way; the one exit of every step below. */
class Refusal extends Error {
  readonly reason: Reason;
  readonly more: {
    dimension?: Dimension;
    refused?: Refused;
    miss?: MissJson | undefined;
    policies?: readonly string[];
  };

  constructor(reason: Reason, more: Refusal['more'] = {}) {
    super(reason);
    this.reason = reason;
    this.more = more;
  }
}

const REASON_OF = {
  task: 'task_scope',
  agent: 'agent_envelope',
  user: 'user_entitlement',
} as const satisfies Partial<Record<Dimension, Reason>>;

/** The ceiling within the tool, then within every envelope, then within the entitlement too. */
type Stages = readonly (readonly [dimension: keyof typeof REASON_OF, scope: Scope])[];

/**
 * Decides what a token of a task may hold: the meet of the task's ceiling, the envelope of every actor
 * and the user's entitlement, within the tool that the audience names, without what guardrails forbid
 * whole, and with `check: "online"` wherever one could still forbid a call.
 *
 * A list that the client wrote is admitted in full, or refused with the dimension, the permission's
 * index and the argument's path, or narrowed where it says so. Also checks that the origin agent may
 * start the task type. Does not authenticate anybody and does not check launchers, revocation or
 * times: the issuer does.
 */
export function mint(
  deps: DecideDeps,
  facts: RegistryFacts,
  set: GuardrailSet,
  request: MintRequest & { tenant: string },
): MintResponse {
  const dimensions: Dimensions = { ...NOT_EVALUATED };
  const base = {
    id: deps.newId(),
    policy_version: set.version,
    registry_revision: facts.revision,
  };
  try {
    const granted = decide(deps, facts, set, request, dimensions);
    return {
      ...base,
      decision: 'allow',
      reason: 'permitted',
      dimensions,
      permissions: toJson(granted.scope),
      ceiling: toJson(granted.ceiling),
      task: taskTerms(granted.taskType),
      policies: [PLATFORM_POLICY],
    };
  } catch (error) {
    const refusal = asRefusal(error, deps);
    const { dimension, refused, miss, policies = [] } = refusal.more;
    if (dimension) dimensions[dimension] = 'deny';
    return {
      ...base,
      decision: 'deny',
      reason: refusal.reason,
      ...(dimension ? { dimension } : {}),
      dimensions,
      permissions: [],
      ceiling: [],
      ...(refused ? { refused } : {}),
      ...(miss ? { miss } : {}),
      policies: policies.slice(0, MAX_POLICY_IDS),
    };
  }
}

function asRefusal(error: unknown, deps: DecideDeps): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof TooLarge) return new Refusal('scope_too_large');
  if (error instanceof PdpError && error.code === 'POLICY_ERROR') {
    const failed = error.details.policies;
    const policies = Array.isArray(failed) ? (failed as string[]) : ['remit:facts'];
    deps.onPolicyError?.(policies);
    return new Refusal('policy_error', { dimension: 'policies', policies });
  }
  throw error;
}

type Granted = { scope: Scope; ceiling: Scope; taskType: TaskTypeBody };

function decide(
  deps: DecideDeps,
  facts: RegistryFacts,
  set: GuardrailSet,
  request: MintRequest & { tenant: string },
  dimensions: Dimensions,
): Granted {
  const present = inactive(facts);
  if ('reason' in present) {
    Object.assign(dimensions, present.dimensions);
    throw new Refusal(present.reason, partyOf(present.dimensions));
  }
  const { taskType, tool } = facts;
  if (!tool) throw new Refusal('target_unknown');
  if (!taskType || !mayStart(taskType, present.actors[0]?.agent, request))
    throw new Refusal('task_type_not_allowed', { dimension: 'task' });

  const ceiling = request.task.ceiling
    ? readCeiling(request.task.ceiling)
    : fillSlots(taskType, request.task.slots);
  const inTool = meetAll(ceiling, [toolScope(tool)]);
  const inEnvelopes = meetAll(
    inTool,
    present.actors.map((actor) => actor.envelope),
  );
  const entitled = unionOf(present.user.entitlement.map((part) => meetAll(inEnvelopes, [part])));
  const stages: Stages = [
    ['task', inTool],
    ['agent', inEnvelopes],
    ['user', entitled],
  ];
  const about = circumstances({ actors: present.actors, user: present.user, tool }, request, {
    id: request.task.id,
    type: taskType.id,
    purpose: taskType.purpose,
  });
  const context: Judging = { deps, set, about, stages, dimensions, blocking: new Set() };
  const granted = request.requested
    ? judgeRequested(context, request.requested, request.narrow)
    : judgeWhole(context);
  dimensions.policies = 'allow';
  return { scope: granted, ceiling, taskType };
}

/** A free task is there only for agents that may start it, and has no instance to make. */
function mayStart(taskType: TaskTypeBody, agent: AgentBody | undefined, { task }: MintRequest) {
  if (taskType.id === FREE_TASK_TYPE) return task.ceiling !== undefined;
  return agent?.task_types.includes(taskType.id) === true;
}

type Judging = {
  deps: DecideDeps;
  set: GuardrailSet;
  about: Circumstances;
  stages: Stages;
  dimensions: Dimensions;
  /** Guardrails that took a permission away. */
  blocking: Set<string>;
};

/** Without a list of the client's own, what comes out of the ceiling is the answer. */
function judgeWhole(context: Judging): Scope {
  refuseEmpty(context, context.stages);
  const whole = context.stages.at(-1)?.[1] as Scope;
  const kept = whole.permissions.flatMap((permission) => guard(context, permission, undefined));
  return notEmpty(context, kept);
}

function judgeRequested(
  context: Judging,
  requested: readonly PermissionJson[],
  narrow: boolean,
): Scope {
  const whole = context.stages.at(-1)?.[1] as Scope;
  const asked = requested.map(readRequested);
  if (narrow) {
    const all = unionOf(asked);
    refuseEmpty(
      context,
      context.stages.map(([name, stage]) => [name, meetAll(stage, [all])] as const),
    );
  }
  const kept: Permission[] = [];
  for (const [index, one] of asked.entries()) {
    if (!narrow) refuseExcess(context, one, index);
    for (const permission of meetAll(whole, [one]).permissions)
      kept.push(...guard(context, permission, narrow ? undefined : index));
  }
  return notEmpty(context, kept);
}

/** A permission under the guardrails: as it is, online, or gone; gone refuses a request in full. */
function guard(context: Judging, permission: Permission, index: number | undefined): Permission[] {
  const { deps, set, about, blocking } = context;
  const { verdict, policies } = judge(
    deps.engine,
    set,
    about,
    permission,
    deps.nowMs(),
    deps.everyCall?.(about.tenant),
  );
  if (verdict === 'local') return [permission];
  if (verdict === 'online') return [{ ...permission, check: 'online' }];
  for (const id of policies) blocking.add(id);
  if (index === undefined) return [];
  throw new Refusal('policy_forbid', {
    dimension: 'policies',
    refused: { permission: index },
    policies,
  });
}

function notEmpty(context: Judging, kept: readonly Permission[]): Scope {
  if (kept.length === 0) {
    const policies = [...context.blocking].toSorted();
    throw new Refusal('policy_forbid', { dimension: 'policies', policies });
  }
  return unionOf(kept.map((permission) => scope([permission])));
}

/** Marks the dimensions in order and refuses with the first after which nothing is left. */
function refuseEmpty(context: Judging, stages: Stages): void {
  let before: Scope | undefined;
  for (const [dimension, stage] of stages) {
    if (stage.permissions.length === 0) {
      const found = before ? excess(before, stage) : undefined;
      throw new Refusal(REASON_OF[dimension], {
        dimension,
        miss: found ? missOf(found) : { kind: 'empty' },
      });
    }
    context.dimensions[dimension] = 'allow';
    before = stage;
  }
}

/** Whether a permission comes online is ours to say, so asking for a local one is not too much. */
function refuseExcess(context: Judging, one: Scope, index: number): void {
  const asked = scope(one.permissions.map((permission) => ({ ...permission, check: 'online' })));
  for (const [dimension, stage] of context.stages) {
    const found = excess(asked, stage);
    if (found) {
      throw new Refusal(REASON_OF[dimension], {
        dimension,
        refused: { permission: index, ...('path' in found ? { path: found.path } : {}) },
        miss: missOf(found),
      });
    }
    context.dimensions[dimension] = 'allow';
  }
}

function missOf(found: Excess): MissJson {
  if (found.kind === 'constraint') return { kind: 'constraint', path: found.path };
  return { kind: found.kind === 'check' ? 'constraint' : found.kind };
}

function readRequested(permission: PermissionJson, index: number): Scope {
  const refuse = () => new Refusal('request_malformed', { refused: { permission: index } });
  try {
    const one = scope([permission]);
    if (one.permissions.length === 0) throw refuse();
    return one;
  } catch (error) {
    if (error instanceof ScopeError) throw refuse();
    throw error;
  }
}

function readCeiling(permissions: readonly PermissionJson[]): Scope {
  try {
    return scope(permissions);
  } catch (error) {
    if (error instanceof ScopeError) throw new Refusal('task_scope', { dimension: 'task' });
    throw error;
  }
}

function fillSlots(taskType: TaskTypeBody, slots: MintRequest['task']['slots']): Scope {
  try {
    return instantiate(taskType, slots);
  } catch (error) {
    if (!(error instanceof PdpError) || error.code !== 'SLOT_INVALID') throw error;
    const { slot } = error.details;
    throw new Refusal('slot_invalid', {
      dimension: 'task',
      ...(typeof slot === 'string' ? { refused: { slot } } : {}),
    });
  }
}

function partyOf(dimensions: Dimensions): { dimension?: Dimension } {
  if (dimensions.agent === 'deny') return { dimension: 'agent' };
  return dimensions.user === 'deny' ? { dimension: 'user' } : {};
}

function taskTerms(taskType: TaskTypeBody): NonNullable<MintResponse['task']> {
  const { purpose, until_seconds, token_seconds, depth_max, single_use, links, may_act, budgets } =
    taskType;
  return {
    purpose,
    until_seconds,
    token_seconds,
    depth_max,
    single_use,
    links,
    ...(may_act === undefined ? {} : { may_act }),
    ...(budgets === undefined ? {} : { budgets }),
  };
}

/** A scope as it travels; the wire type has mutable arrays, the scope is frozen. */
function toJson(made: Scope): PermissionJson[] {
  return structuredClone(made.permissions) as PermissionJson[];
}
