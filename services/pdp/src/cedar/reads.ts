import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs';

/** What a policy's conditions rest on. */
export type Reads = {
  /** Nothing but facts that hold for a whole token: minting can decide it once. */
  fixed: boolean;
  /** The resource too, which is a fixed fact only where a permission names it literally. */
  resource: boolean;
  /** What the task did before. */
  session: boolean;
};

/** Members of the context that cannot change while a token lives; registry changes cause a recheck. */
const FIXED_CONTEXT: ReadonlySet<string> = new Set([
  'tenant',
  'client',
  'audience',
  'user',
  'origin',
  'agents',
  'task',
]);

/** Operators of Cedar's JSON form with their operands. What is not listed here is not fixed. */
const OPERANDS: Readonly<Record<string, readonly string[]>> = {
  '!': ['arg'],
  neg: ['arg'],
  isEmpty: ['arg'],
  '==': ['left', 'right'],
  '!=': ['left', 'right'],
  in: ['left', 'right'],
  '<': ['left', 'right'],
  '<=': ['left', 'right'],
  '>': ['left', 'right'],
  '>=': ['left', 'right'],
  '&&': ['left', 'right'],
  '||': ['left', 'right'],
  '+': ['left', 'right'],
  '-': ['left', 'right'],
  '*': ['left', 'right'],
  contains: ['left', 'right'],
  containsAll: ['left', 'right'],
  containsAny: ['left', 'right'],
  getTag: ['left', 'right'],
  hasTag: ['left', 'right'],
  'if-then-else': ['if', 'then', 'else'],
};

/** Extension functions without a clock or anything else of the world. */
const FUNCTIONS: ReadonlySet<string> = new Set([
  'datetime',
  'decimal',
  'duration',
  'greaterThan',
  'greaterThanOrEqual',
  'ip',
  'isInRange',
  'isIpv4',
  'isIpv6',
  'isLoopback',
  'isMulticast',
  'lessThan',
  'lessThanOrEqual',
]);

class NotFixed extends Error {}

/**
 * Walks the conditions of a policy over an allow-list. Arguments, time, verdicts, sessions, and every
 * node that the list does not know make it not fixed; so a new operator of Cedar is online until
 * somebody adds it here.
 */
export function readsOf(policy: PolicyJson): Reads {
  const found = { resource: false };
  // By the name alone, wherever it stands: too often is only slow.
  const session = JSON.stringify(policy.conditions).includes('"session"');
  try {
    for (const clause of policy.conditions) {
      if (clause.kind !== 'when' && clause.kind !== 'unless') throw new NotFixed();
      walk(clause.body, found);
    }
  } catch (error) {
    if (error instanceof NotFixed) return { fixed: false, resource: true, session };
    throw error;
  }
  return { fixed: true, resource: found.resource, session };
}

type Node = Readonly<Record<string, unknown>>;

function asNode(value: unknown): Node {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NotFixed();
  return value as Node;
}

/** The one member of a node; a node with more or fewer is not one that we know. */
function only(value: unknown): readonly [string, unknown] {
  const entries = Object.entries(asNode(value));
  const [entry] = entries;
  if (entry === undefined || entries.length !== 1) throw new NotFixed();
  return entry;
}

function walk(expression: unknown, found: { resource: boolean }): void {
  const [operator, body] = only(expression);
  if (Object.hasOwn(OPERANDS, operator)) {
    const operands = OPERANDS[operator] as readonly string[];
    walkExactly(body, operands, found);
    return;
  }
  if (FUNCTIONS.has(operator)) {
    if (!Array.isArray(body)) throw new NotFixed();
    for (const argument of body) walk(argument, found);
    return;
  }
  switch (operator) {
    case 'Value':
      walkValue(body, found);
      return;
    case 'Var':
      walkVariable(body, found);
      return;
    case '.':
    case 'has':
      walkAttribute(asNode(body), found);
      return;
    case 'like':
      walk(asNode(body).left, found);
      return;
    case 'is': {
      const { left, in: inside } = asNode(body);
      walk(left, found);
      if (inside !== undefined) walk(inside, found);
      return;
    }
    case 'Set':
      if (!Array.isArray(body)) throw new NotFixed();
      for (const element of body) walk(element, found);
      return;
    case 'Record':
      for (const member of Object.values(asNode(body))) walk(member, found);
      return;
    default:
      throw new NotFixed();
  }
}

function walkExactly(
  body: unknown,
  operands: readonly string[],
  found: { resource: boolean },
): void {
  const node = asNode(body);
  if (Object.keys(node).length !== operands.length) throw new NotFixed();
  for (const operand of operands) walk(node[operand], found);
}

function walkVariable(name: unknown, found: { resource: boolean }): void {
  if (name === 'resource') found.resource = true;
  // The bare context holds the arguments; only named members of it are let through, in walkAttribute.
  else if (name !== 'principal' && name !== 'action') throw new NotFixed();
}

/** `context.user`, `context has task`, `context has user.name`: fixed by the first name alone. */
function walkAttribute(node: Node, found: { resource: boolean }): void {
  const { left, attr } = node;
  const [operator, body] = only(left);
  if (operator === 'Var' && body === 'context') {
    const first: unknown = Array.isArray(attr) ? attr[0] : attr;
    if (typeof first !== 'string' || !FIXED_CONTEXT.has(first)) throw new NotFixed();
    return;
  }
  walk(left, found);
}

/** Which entities exist depends on the resource asked for, so naming one of them reads the resource. */
function walkValue(value: unknown, found: { resource: boolean }): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const element of value) walkValue(element, found);
    return;
  }
  const node = value as Node;
  if ('__extn' in node) throw new NotFixed();
  if ('__entity' in node) {
    if (asNode(node.__entity).type === 'Resource') found.resource = true;
    return;
  }
  for (const member of Object.values(node)) walkValue(member, found);
}
