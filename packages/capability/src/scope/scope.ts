import { type Box, boxWithin, meetBox, normalBox, type SideExcess, sideExcess } from './box.ts';
import { TOO_LARGE } from './constraint-order.ts';
import { ScopeError } from './errors.ts';
import { copyJson, SCOPE_RULES } from './json.ts';
import { LIMITS } from './limits.ts';
import { coversPattern, keep, reduce } from './pattern-set.ts';
import { closedObject, readPermission } from './read.ts';
import type { Json, Scope } from './types.ts';
import { toPermission } from './write.ts';

const compiled = new WeakMap<Scope, readonly Box[]>();

function fromBoxes(boxes: readonly Box[]): Scope {
  const permissions = Object.freeze(boxes.map(toPermission));
  const made = Object.freeze({ permissions }) as Scope;
  compiled.set(made, boxes);
  return made;
}

/** The compiled permissions, at the same indexes. Throws for an object that `scope()` didn't make. */
export function boxesOf(made: Scope): readonly Box[] {
  const boxes = compiled.get(made);
  if (boxes === undefined) {
    throw new ScopeError('SCOPE_INVALID', 'this scope was not made by scope() or meet()');
  }
  return boxes;
}

/**
 * Reads a scope, `{ permissions: [...] }` or the list alone, and brings it to normal form: a
 * permission that admits nothing and one that lies within another are dropped, `eq` is read as `in`,
 * hosts are lowered. Names and patterns are refused rather than repaired; unknown keys are refused;
 * nothing that is empty or missing means everything. An empty scope admits nothing.
 *
 * Doesn't check who may hold it: that is `within` and `meet`.
 *
 * @throws ScopeError SCOPE_INVALID (with the place in `context.at`), SCOPE_TOO_LARGE (more than 64
 * permissions are left).
 */
export function scope(input: unknown): Scope {
  if (typeof input === 'object' && input !== null && compiled.has(input as Scope)) {
    return input as Scope;
  }
  const copy = copyJson(input, SCOPE_RULES);
  const list = Array.isArray(copy)
    ? (copy as readonly Json[])
    : closedObject(copy, ['permissions'], [])['permissions'];
  if (!Array.isArray(list)) {
    throw new ScopeError('SCOPE_INVALID', 'scope: a list of permissions is expected');
  }
  if (list.length > LIMITS.writtenPermissions) throw tooLarge();
  const boxes = (list as readonly Json[]).map((one, i) =>
    normalBox(readPermission(one, ['permissions', i])),
  );
  const kept = reduce(
    boxes.filter((box) => box !== undefined),
    boxWithin,
  );
  if (kept.length > LIMITS.permissions) throw tooLarge();
  return fromBoxes(kept);
}

function tooLarge(): ScopeError {
  return new ScopeError('SCOPE_TOO_LARGE', `a scope has at most ${LIMITS.permissions} permissions`);
}

/** What of a scope another doesn't give: the first (action, resource) of the first permission. */
export type Excess = {
  readonly permission: number;
  readonly action: string;
  readonly resource: string;
} & (SideExcess | { readonly kind: 'action' } | { readonly kind: 'resource' });

/**
 * The first part of `a` for which no single permission of `b` is found; undefined where `a` is
 * within `b`. Names only what `a` asked for, never what `b` holds.
 */
export function excess(a: Scope, b: Scope): Excess | undefined {
  const outers = boxesOf(b);
  for (const [permission, box] of boxesOf(a).entries()) {
    const found = boxExcess(box, outers);
    if (found !== undefined) return { permission, ...found };
  }
  return undefined;
}

type BoxExcess = Excess extends infer E
  ? E extends Excess
    ? Omit<E, 'permission'>
    : never
  : never;

function boxExcess(box: Box, outers: readonly Box[]): BoxExcess | undefined {
  // Names first: most permissions differ in them, and the other sides cost more.
  const acting = outers
    .map((outer) => ({
      outer,
      actions: new Set(box.actions.filter((one) => coversPattern(outer.actions, one))),
    }))
    .filter(({ actions }) => actions.size > 0)
    .map(({ outer, actions }) => ({
      actions,
      resources: new Set(box.resources.filter((one) => coversPattern(outer.resources, one))),
      side: sideExcess(box, outer),
    }));
  const fitting = acting.filter(({ side }) => side === undefined);
  for (const action of box.actions) {
    for (const resource of box.resources) {
      if (fitting.some((fit) => fit.actions.has(action) && fit.resources.has(resource))) continue;
      const names = { action: action.text, resource: resource.text };
      const able = acting.filter(({ actions }) => actions.has(action));
      if (able.length === 0) return { ...names, kind: 'action' };
      const there = able.find(({ resources }) => resources.has(resource));
      return there?.side ? { ...names, ...there.side } : { ...names, kind: 'resource' };
    }
  }
  return undefined;
}

/**
 * Whether all that `a` admits is admitted by `b`: each (action, resource) of each permission of `a`
 * has one permission of `b` that holds the action, the resource, the arguments and every constraint,
 * and that isn't online where `a`'s is not. Sound, not complete: ranges that are split over two
 * permissions of `b` aren't joined. `excess` says what is too much.
 */
export function within(a: Scope, b: Scope): boolean {
  return excess(a, b) === undefined;
}

export type MeetResult =
  | { readonly ok: true; readonly scope: Scope }
  | { readonly ok: false; readonly code: 'SCOPE_TOO_LARGE' };

/**
 * Exactly the operations that both admit: every pair of permissions side by side, in normal form.
 * Where nothing is common the scope is empty. A result that passes a limit (64 permissions; 64
 * actions, resources or patterns in one of them) is SCOPE_TOO_LARGE, found while it is built.
 */
export function meet(a: Scope, b: Scope): MeetResult {
  const kept: Box[] = [];
  for (const one of boxesOf(a)) {
    for (const other of boxesOf(b)) {
      const both = meetBox(one, other);
      if (both === TOO_LARGE) return { ok: false, code: 'SCOPE_TOO_LARGE' };
      if (both !== undefined) keep(kept, both, boxWithin);
      if (kept.length > LIMITS.working) return { ok: false, code: 'SCOPE_TOO_LARGE' };
    }
  }
  if (kept.length > LIMITS.permissions) return { ok: false, code: 'SCOPE_TOO_LARGE' };
  return { ok: true, scope: fromBoxes(kept) };
}

/** Whether a scope can't be divided further by names: one permission, one action, one resource. */
export function isSingle(made: Scope): boolean {
  const boxes = boxesOf(made);
  const [box] = boxes;
  if (box === undefined || boxes.length !== 1) return false;
  return [box.actions, box.resources].every((list) => list.length === 1 && list[0]?.literal);
}
