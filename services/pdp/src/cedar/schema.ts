import type { SchemaJson, TypeOfAttribute } from '@cedar-policy/cedar-wasm/nodejs';
import type { ArgType, ToolBody } from '@remit/contracts';

type Attribute = TypeOfAttribute<string>;
type Attributes = Record<string, Attribute>;

/** Segments of a resource that a policy can read one by one, `s0` is the system. */
export const MAX_SEGMENTS = 32;

const text: Attribute = { type: 'String' };
const long: Attribute = { type: 'Long' };
const texts: Attribute = { type: 'Set', element: text };
const record = (attributes: Attributes): Attribute => ({ type: 'Record', attributes });
const entity = (name: string): Attribute => ({ type: 'Entity', name });
const optional = (type: Attribute): Attribute => ({ ...type, required: false });

const ARG_TYPES: Record<ArgType, Attribute> = {
  boolean: { type: 'Boolean' },
  decimal: { type: 'Extension', name: 'decimal' },
  long,
  string: text,
  strings: texts,
};

/** Paths of arguments as a tree: a type at a leaf, deeper names otherwise. */
export type ArgShape = Map<string, ArgType | ArgShape>;

/**
 * The arguments that policies may read of an action, of all tools that declare it. Where two
 * declarations disagree the argument is left out, so that a policy that reads it is refused.
 */
export function argShape(tools: readonly ToolBody[], action: string): ArgShape {
  const types = new Map<string, ArgType | 'conflict'>();
  for (const tool of tools) {
    for (const [path, type] of Object.entries(tool.args?.[action] ?? {})) {
      const known = types.get(path);
      types.set(path, known === undefined || known === type ? type : 'conflict');
    }
  }
  const shape: ArgShape = new Map();
  for (const [path, type] of types) {
    if (type !== 'conflict') plant(shape, path.split('.'), type);
  }
  return shape;
}

/** A path that runs through another's leaf is left out: an argument has one type. */
function plant(shape: ArgShape, [key, ...rest]: readonly string[], type: ArgType): void {
  if (key === undefined || key === '') return;
  const known = shape.get(key);
  if (rest.length === 0) {
    if (known === undefined) shape.set(key, type);
    return;
  }
  if (typeof known === 'string') return;
  const deeper: ArgShape = known ?? new Map();
  plant(deeper, rest, type);
  if (deeper.size > 0) shape.set(key, deeper);
}

/**
 * The groups of an action, so that a head can name them: `orders.create` is in `orders.**`. A star
 * cannot stand in an action's name, so a group is never an action.
 */
export function actionGroups(action: string): string[] {
  const segments = action.split('.');
  return segments.slice(1).map((_, i) => `${segments.slice(0, i + 1).join('.')}.**`);
}

/**
 * The Cedar schema of a tenant's policies, from the actions of its tools and a fixed set of facts.
 * Every argument is optional, so that Cedar's validator makes a policy ask `has` before it reads;
 * attributes of the registry are tags, for the same reason.
 */
export function cedarSchema(tools: readonly ToolBody[]): SchemaJson<string> {
  const actions = [...new Set(tools.flatMap((tool) => tool.actions))].toSorted();
  const groups = [...new Set(actions.flatMap(actionGroups))].toSorted();
  const segments: Attributes = {};
  for (let i = 0; i < MAX_SEGMENTS; i++) segments[`s${i}`] = optional(text);
  return {
    '': {
      entityTypes: {
        Agent: {
          shape: record({ id: text, owner: text, version: long, model: optional(text) }),
          tags: text,
        },
        Group: {},
        // What whoever asks says of a subject, action or resource: texts under any name.
        Properties: { tags: text },
        Resource: {
          memberOfTypes: ['Resource'],
          shape: record({ path: text, system: text, segments: record(segments), classes: texts }),
        },
        Role: {},
        User: { memberOfTypes: ['Group', 'Role'], shape: record({ id: text }), tags: text },
      },
      actions: Object.fromEntries([
        ...groups.map((group) => [group, { memberOf: parents(group.slice(0, -'.**'.length)) }]),
        ...actions.map((action) => [
          action,
          {
            memberOf: parents(action),
            appliesTo: {
              principalTypes: ['Agent'],
              resourceTypes: ['Resource'],
              context: contextType(argShape(tools, action)),
            },
          },
        ]),
      ]),
    },
  };
}

const parents = (action: string) => actionGroups(action).map((id) => ({ id }));

const counts: Attributes = { calls: long, denials: long, volume: long };

function contextType(args: ArgShape): Attribute {
  const truth: Attribute = { type: 'Boolean' };
  return record({
    tenant: text,
    client: text,
    audience: text,
    user: entity('User'),
    origin: entity('Agent'),
    agents: { type: 'Set', element: entity('Agent') },
    task: record({ id: text, type: text, purpose: text }),
    dimensions: record({ agent: truth, user: truth, task: truth }),
    now: { type: 'Extension', name: 'datetime' },
    approval: optional(record({ id: text })),
    authentication: record({ acr: optional(text), age_seconds: optional(long) }),
    network: record({ ip: optional({ type: 'Extension', name: 'ipaddr' }) }),
    risk: record({ score: optional(long), flags: texts }),
    session: record({ ...counts, tools: texts, actions: texts, recent: record(counts) }),
    attested: record({
      subject: entity('Properties'),
      action: entity('Properties'),
      resource: entity('Properties'),
    }),
    args: argsType(args),
  });
}

function argsType(shape: ArgShape): Attribute {
  const attributes: Attributes = {};
  for (const [key, type] of shape) {
    attributes[key] = optional(typeof type === 'string' ? ARG_TYPES[type] : argsType(type));
  }
  return record(attributes);
}
