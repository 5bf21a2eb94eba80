import type { CedarValueJson, EntityJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import type { ToolBody } from '@remit/contracts';
import { type CallFacts, callContext, propertyEntities } from './call-facts.ts';
import { dataClasses } from './data-classes.ts';
import { argShape, MAX_SEGMENTS } from './schema.ts';
import { carryArgs, carryText } from './values.ts';

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export type AgentFact = { id: string; owner: string; version: number; attributes: Attributes };
export type UserFact = {
  id: string;
  groups: readonly string[];
  roles: readonly string[];
  attributes: Attributes;
};

/** Who asks, for whom, in which task: the facts that hold for a whole token. */
export type Circumstances = {
  tenant: string;
  client: string;
  audience: string;
  /** Origin first, current actor last; at least one. */
  agents: readonly [AgentFact, ...AgentFact[]];
  user: UserFact;
  task: { id: string; type: string; purpose: string };
  /** The tool that the audience names: its actions and the types of their arguments. */
  tool: ToolBody;
};

/** One operation, the verdicts of the three dimensions on it and the time. */
export type Question = {
  action: string;
  resource: string;
  args: Readonly<Record<string, unknown>>;
  dimensions: { agent: boolean; user: boolean; task: boolean };
  nowMs: number;
  /** What holds for this one call beside its arguments. */
  call?: CallFacts | undefined;
};

export type CedarRequest = {
  principal: TypeAndId;
  action: TypeAndId;
  resource: TypeAndId;
  context: Record<string, CedarValueJson>;
  entities: EntityJson[];
};

const uid = (type: string, id: string): TypeAndId => ({ type, id: carryText(id) });
const reference = (type: string, id: string): CedarValueJson => ({ __entity: uid(type, id) });

/** A resource and all that it lies below, nearest last: `erp/orders/7` is in `erp/orders` and `erp`. */
export function resourceAncestors(resource: string): string[] {
  const segments = resource.split('/');
  return segments.slice(1).map((_, i) => segments.slice(0, i + 1).join('/'));
}

/**
 * The one place where Cedar's request is made: principal the current actor, everything else in
 * context and entities. A caller supplies facts, never entities, types or parents; ids stay strings.
 * Throws PdpError `POLICY_ERROR` when a fact cannot be carried.
 */
export function buildRequest(facts: Circumstances, question: Question): CedarRequest {
  const current = facts.agents[facts.agents.length - 1] as AgentFact;
  const { task } = facts;
  return {
    principal: uid('Agent', current.id),
    action: uid('Action', question.action),
    resource: uid('Resource', question.resource),
    context: {
      tenant: carryText(facts.tenant),
      client: carryText(facts.client),
      audience: carryText(facts.audience),
      user: reference('User', facts.user.id),
      origin: reference('Agent', facts.agents[0].id),
      agents: facts.agents.map((agent) => reference('Agent', agent.id)),
      task: {
        id: carryText(task.id),
        type: carryText(task.type),
        purpose: carryText(task.purpose),
      },
      dimensions: { ...question.dimensions },
      now: { __extn: { fn: 'datetime', arg: new Date(question.nowMs).toISOString() } },
      ...callContext(question.call),
      args: carryArgs(question.args, argShape([facts.tool], question.action)),
    },
    entities: [
      ...distinct(facts.agents).map(agentEntity),
      userEntity(facts.user),
      resourceEntity(question.resource, dataClasses(facts.tool, question.resource)),
      ...propertyEntities(question.call?.attested),
    ],
  };
}

function distinct(agents: readonly AgentFact[]): AgentFact[] {
  return [...new Map(agents.map((agent) => [agent.id, agent])).values()];
}

function agentEntity(agent: AgentFact): EntityJson {
  const { model } = agent.attributes;
  return {
    uid: uid('Agent', agent.id),
    attrs: {
      id: agent.id,
      owner: carryText(agent.owner),
      version: agent.version,
      ...(model === undefined ? {} : { model: carryText(String(model)) }),
    },
    parents: [],
    tags: tags(agent.attributes),
  };
}

function userEntity(user: UserFact): EntityJson {
  return {
    uid: uid('User', user.id),
    attrs: { id: user.id },
    parents: [
      ...user.groups.map((id) => uid('Group', id)),
      ...user.roles.map((id) => uid('Role', id)),
    ],
    tags: tags(user.attributes),
  };
}

function resourceEntity(resource: string, classes: readonly string[]): EntityJson {
  const segments = carryText(resource).split('/').slice(0, MAX_SEGMENTS);
  return {
    uid: uid('Resource', resource),
    attrs: {
      path: resource,
      system: segments[0] as string,
      segments: Object.fromEntries(segments.map((segment, i) => [`s${i}`, segment])),
      classes: classes.map(carryText),
    },
    parents: resourceAncestors(resource).map((id) => uid('Resource', id)),
  };
}

/** Attributes of the registry have no declared types: policies read each as its text. */
function tags(attributes: Attributes): Record<string, CedarValueJson> {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [carryText(key), carryText(String(value))]),
  );
}
