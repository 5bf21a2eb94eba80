import { parseOperation, type Scope, ScopeError, scope } from '@remit/capability';
import type { PermissionJson, Slot, TaskTypeBody } from '@remit/contracts';
import { PdpError } from '../errors.ts';

type SlotValue = string | number;

const PLACEHOLDER = /^\{([a-z][a-z0-9_]{0,31})\}$/;
/** Tests whose texts are patterns: what fills a slot there must not be able to be one. */
const PATTERN_TESTS = new Set(['like', 'emails', 'hosts']);

/**
 * The instance of a task type: each `{slot}` replaced by the value given for it. Checks that exactly
 * the declared slots are filled, each by its type; an id is one whole segment of a name, a number is
 * exact and within its bounds, an enum is one of its values; nothing given can become a pattern.
 * Throws PdpError `SLOT_INVALID` with `{ slot }`, or without one where the task type itself is broken.
 */
export function instantiate(
  taskType: TaskTypeBody,
  slots: Readonly<Record<string, SlotValue>>,
): Scope {
  const values = new Map<string, SlotValue>();
  for (const [name, declared] of Object.entries(taskType.slots)) {
    const value = Object.hasOwn(slots, name) ? slots[name] : undefined;
    if (value === undefined) throw invalid('a slot is missing', name);
    if (!fits(declared, value)) throw invalid('a slot does not have the type declared', name);
    values.set(name, value);
  }
  for (const name of Object.keys(slots)) {
    if (!values.has(name)) throw invalid('a slot is not one of the task type', name);
  }
  const filled = taskType.permissions.map((permission) => fill(permission, values));
  try {
    return scope(filled);
  } catch (cause) {
    if (!(cause instanceof ScopeError)) throw cause;
    throw new PdpError('SLOT_INVALID', 'the task type has no readable instance', {}, { cause });
  }
}

function invalid(message: string, slot: string): PdpError {
  return new PdpError('SLOT_INVALID', message, { slot: slot.slice(0, 32) });
}

function fits(slot: Slot, value: SlotValue): boolean {
  switch (slot.type) {
    case 'id':
      return typeof value === 'string' && isNameSegment(value);
    case 'enum':
      return typeof value === 'string' && slot.values.includes(value);
    case 'number':
      return (
        typeof value === 'number' &&
        isExact(value) &&
        value >= (slot.min ?? Number.NEGATIVE_INFINITY) &&
        value <= (slot.max ?? Number.POSITIVE_INFINITY)
      );
  }
}

/** One segment of a name, by the one reader of names. */
function isNameSegment(value: string): boolean {
  if (value.includes('/')) return false;
  return readable(() => parseOperation({ action: 'a', resource: `a/${value}`, args: {} }));
}

/** The number rule, by the one reader of constraints. */
function isExact(value: number): boolean {
  const constraints = { n: { in: [value] } };
  return readable(() => scope([{ actions: ['a'], resources: ['a'], args: ['n'], constraints }]));
}

function readable(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (error instanceof ScopeError) return false;
    throw error;
  }
}

function fill(permission: PermissionJson, values: ReadonlyMap<string, SlotValue>): unknown {
  return {
    ...permission,
    resources: permission.resources.map((resource) => fillResource(resource, values)),
    ...(permission.constraints
      ? { constraints: fillTests(permission.constraints, values, false) }
      : {}),
  };
}

function fillResource(resource: string, values: ReadonlyMap<string, SlotValue>): string {
  return resource
    .split('/')
    .map((segment) => {
      const name = PLACEHOLDER.exec(segment)?.[1];
      return name === undefined ? segment : asSegment(name, values);
    })
    .join('/');
}

function asSegment(name: string, values: ReadonlyMap<string, SlotValue>): string {
  const value = values.get(name);
  if (typeof value !== 'string' || !isNameSegment(value))
    throw invalid('a slot cannot be part of a name', name);
  return value;
}

function fillTests(
  node: unknown,
  values: ReadonlyMap<string, SlotValue>,
  pattern: boolean,
): unknown {
  if (typeof node === 'string') {
    const name = PLACEHOLDER.exec(node)?.[1];
    if (name === undefined) return node;
    if (pattern) return asSegment(name, values);
    const value = values.get(name);
    if (value === undefined) throw invalid('the task type uses a slot that it does not have', name);
    return value;
  }
  if (Array.isArray(node)) return node.map((item) => fillTests(item, values, pattern));
  if (typeof node !== 'object' || node === null) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, below]) => [
      key,
      fillTests(below, values, pattern || PATTERN_TESTS.has(key)),
    ]),
  );
}
