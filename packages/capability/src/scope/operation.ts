import { ScopeError } from './errors.ts';
import { ARGUMENT_RULES, copyJson } from './json.ts';
import { splitName } from './name.ts';
import type { JsonObject, Operation } from './types.ts';

/** An operation with its names split once. */
export interface SplitOperation {
  readonly action: readonly string[];
  readonly resource: readonly string[];
}

const split = new WeakMap<Operation, SplitOperation>();

/** Throws for an object that `parseOperation` didn't make. */
export function splitOf(operation: Operation): SplitOperation {
  const names = split.get(operation);
  if (names === undefined) {
    throw new ScopeError('OPERATION_INVALID', 'this operation was not made by parseOperation()');
  }
  return names;
}

/**
 * Copies what a tool is about to do and freezes the copy to the bottom. Checks that it has exactly
 * `action`, `resource` and `args` (absent `args` are none), that both are names, and that the
 * arguments are plain JSON without empty, dotted or reserved keys, at most 32 deep, 10,000 values and
 * 262,144 characters. `-0` becomes 0. The copy is what is decided on and what the tool must be given;
 * the input isn't read again.
 *
 * Doesn't check whether anybody may do it: that is `permits`.
 *
 * @throws ScopeError OPERATION_INVALID, ACTION_INVALID, RESOURCE_INVALID, ARGUMENT_INVALID
 */
export function parseOperation(input: unknown): Operation {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new ScopeError('OPERATION_INVALID', 'an operation is an object');
  }
  for (const key of Object.keys(input)) {
    if (key !== 'action' && key !== 'resource' && key !== 'args') {
      throw new ScopeError('OPERATION_INVALID', 'an operation has action, resource and args only');
    }
  }
  const { action, resource, args = {} } = input as { [key: string]: unknown };
  const actionSegments = typeof action === 'string' ? splitName(action, '.') : undefined;
  if (actionSegments === undefined) {
    throw new ScopeError('ACTION_INVALID', 'the action is not a name', { at: ['action'] });
  }
  const resourceSegments = typeof resource === 'string' ? splitName(resource, '/') : undefined;
  if (resourceSegments === undefined) {
    throw new ScopeError('RESOURCE_INVALID', 'the resource is not a name', { at: ['resource'] });
  }
  if (typeof args !== 'object' || args === null || Array.isArray(args)) {
    throw new ScopeError('ARGUMENT_INVALID', 'arguments are an object', { at: ['args'] });
  }
  const operation = Object.freeze({
    action: action as string,
    resource: resource as string,
    args: copyJson(args, ARGUMENT_RULES) as JsonObject,
  }) as Operation;
  split.set(operation, { action: actionSegments, resource: resourceSegments });
  return operation;
}
