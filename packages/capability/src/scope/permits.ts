import type { Box, PathRule } from './box.ts';
import { firstFailure } from './constraint.ts';
import { type SplitOperation, splitOf } from './operation.ts';
import { firstUncovered, valueAt } from './path.ts';
import { matches, type Pattern } from './pattern.ts';
import { boxesOf } from './scope.ts';
import type { JsonObject, Operation, Scope, TestName } from './types.ts';

/** Why no permission admits an operation, told of the one that came nearest. */
export type Miss = { readonly action: string; readonly resource: string } & (
  | { readonly kind: 'action' }
  | { readonly kind: 'resource' }
  | { readonly kind: 'args'; readonly path: string; readonly permission: number }
  | {
      readonly kind: 'constraint';
      readonly path: string;
      readonly test: TestName;
      readonly permission: number;
    }
);

export type PermitsResult =
  | { readonly ok: true; readonly permission: number; readonly online: boolean }
  | { readonly ok: false; readonly miss: Miss };

type BoxMiss =
  | { readonly kind: 'action' }
  | { readonly kind: 'resource' }
  | { readonly kind: 'args'; readonly path: string }
  | { readonly kind: 'constraint'; readonly path: string; readonly test: TestName };

const NEARNESS = { action: 0, resource: 1, args: 2, constraint: 3 } as const;
const ACTION_MISS: BoxMiss = { kind: 'action' };
const RESOURCE_MISS: BoxMiss = { kind: 'resource' };

function anyMatches(patterns: readonly Pattern[], name: string, segments: readonly string[]) {
  for (const pattern of patterns) if (matches(pattern, name, segments)) return true;
  return false;
}

function ruleFailure({ path, rule }: PathRule, args: JsonObject): TestName | undefined {
  const value = valueAt(args, path.keys);
  if ('absent' in rule) return value === undefined ? undefined : 'absent';
  if (value === undefined) return rule.optional ? undefined : 'present';
  return firstFailure(rule.tests, value);
}

function boxMiss(box: Box, operation: Operation, names: SplitOperation): BoxMiss | undefined {
  if (!anyMatches(box.actions, operation.action, names.action)) return ACTION_MISS;
  if (!anyMatches(box.resources, operation.resource, names.resource)) return RESOURCE_MISS;
  const path = firstUncovered(box.tree, operation.args);
  if (path !== undefined) return { kind: 'args', path };
  for (const rule of box.rules.values()) {
    const test = ruleFailure(rule, operation.args);
    if (test !== undefined) return { kind: 'constraint', path: rule.path.text, test };
  }
  return undefined;
}

/**
 * Whether a scope admits an operation. Where several permissions do, one that isn't online is taken.
 *
 * Checks names, arguments and constraints. Doesn't decide an online permission: the caller must ask
 * the PDP where `online` is true. Time, revocation and who calls are not its business.
 *
 * @returns the index in `scope.permissions`, or the nearest miss, which holds no argument's value and
 * no bound, so it may be shown to the caller.
 * @throws ScopeError SCOPE_INVALID, OPERATION_INVALID for objects not made by this package
 */
export function permits(scope: Scope, operation: Operation): PermitsResult {
  const boxes = boxesOf(scope);
  const names = splitOf(operation);
  let nearest: BoxMiss = ACTION_MISS;
  let missed = -1;
  let online = -1;
  for (let i = 0; i < boxes.length; i += 1) {
    const box = boxes[i] as Box;
    const miss = boxMiss(box, operation, names);
    if (miss === undefined) {
      if (!box.online) return { ok: true, permission: i, online: false };
      if (online === -1) online = i;
    } else if (NEARNESS[miss.kind] > NEARNESS[nearest.kind]) {
      nearest = miss;
      missed = i;
    }
  }
  if (online !== -1) return { ok: true, permission: online, online: true };
  return { ok: false, miss: withNames(nearest, operation, missed) };
}

function withNames(miss: BoxMiss, { action, resource }: Operation, permission: number): Miss {
  if (miss.kind === 'action' || miss.kind === 'resource') return { ...miss, action, resource };
  return { ...miss, action, resource, permission };
}
