import type { EntityUidJson, PolicyJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';
import { resourceAncestors } from './request.ts';
import { actionGroups } from './schema.ts';

/** One side of a policy's head: whom, what or where it speaks about. */
type Side =
  | { op: 'any' }
  /** Of another type than this side ever is: it never applies. */
  | { op: 'never' }
  | { op: 'eq'; id: string }
  | { op: 'in'; ids: readonly string[] };

export type Head = { principal: Side; action: Side; resource: Side };

/** Does a head hold for every operation of a cell, for some, or for none? */
export type Coverage = 'all' | 'some' | 'none';

const ANY: Side = { op: 'any' };
const NEVER: Side = { op: 'never' };

/** Reads the head of a policy from its JSON form. Throws nothing: Cedar has parsed it. */
export function readHead(policy: PolicyJson): Head {
  return {
    principal: readScope(policy.principal, 'Agent'),
    action: readAction(policy.action),
    resource: readScope(policy.resource, 'Resource'),
  };
}

function readScope(side: PolicyJson['principal'], type: string): Side {
  if (side.op === 'All') return ANY;
  if (side.op === 'is') {
    if (side.entity_type !== type) return NEVER;
    return side.in && 'entity' in side.in ? inside([side.in.entity], type) : ANY;
  }
  // A slot stands in a template, and templates are refused at upload.
  if (!('entity' in side)) return ANY;
  return side.op === '==' ? equal(side.entity, type) : inside([side.entity], type);
}

function readAction(side: PolicyJson['action']): Side {
  if (side.op === 'All') return ANY;
  if (side.op === '==') return 'entity' in side ? equal(side.entity, 'Action') : ANY;
  return inside('entities' in side ? side.entities : [side.entity], 'Action');
}

const plain = (entity: EntityUidJson): TypeAndId =>
  '__entity' in entity ? entity.__entity : entity;

function equal(entity: EntityUidJson, type: string): Side {
  const { type: named, id } = plain(entity);
  return named === type ? { op: 'eq', id } : NEVER;
}

function inside(entities: readonly EntityUidJson[], type: string): Side {
  const ids = entities.map(plain).filter((entity) => entity.type === type);
  return ids.length === 0 ? NEVER : { op: 'in', ids: ids.map((entity) => entity.id) };
}

/** Whether an entity, known with all that it lies in, is on a side. */
function holds(side: Side, id: string, ancestors: readonly string[]): boolean {
  switch (side.op) {
    case 'any':
      return true;
    case 'never':
      return false;
    case 'eq':
      return side.id === id;
    case 'in':
      return side.ids.some((named) => named === id || ancestors.includes(named));
  }
}

/** What of a request a head can speak about. The principal is in nothing. */
export type Subject = { principal: string; action: string };

/** Whether a head speaks about one request; the same answer as Cedar's, from the same entities. */
export function headMatches(head: Head, subject: Subject, resource: string): boolean {
  return (
    subjectMatches(head, subject) && holds(head.resource, resource, resourceAncestors(resource))
  );
}

/** The same without the resource. */
export function subjectMatches(head: Head, { principal, action }: Subject): boolean {
  return holds(head.principal, principal, []) && holds(head.action, action, actionGroups(action));
}

/**
 * How much of a resource pattern a head's resource side covers. Where the answer would need more than
 * a look at whole segments it is `some`, which makes the permission online: never wrong, at worst slow.
 */
export function coverage(head: Head, pattern: string): Coverage {
  const side = head.resource;
  if (side.op === 'any') return 'all';
  if (side.op === 'never') return 'none';
  if (!pattern.includes('*')) {
    return holds(side, pattern, resourceAncestors(pattern)) ? 'all' : 'none';
  }
  if (side.op === 'eq') return below(pattern, side.id) === 'none' ? 'none' : 'some';
  const each = side.ids.map((id) => below(pattern, id));
  if (each.includes('all')) return 'all';
  return each.includes('some') ? 'some' : 'none';
}

/** Are the names that a pattern admits in `root`, which is a literal name? */
function below(pattern: string, root: string): Coverage {
  const segments = pattern.split('/');
  const open = segments.at(-1) === '**';
  const fixed = open ? segments.slice(0, -1) : segments;
  const roots = root.split('/');
  let sure = true;
  for (const [i, wanted] of roots.entries()) {
    const segment = fixed[i];
    if (segment === undefined) {
      // Below `**` anything may come; past the end of a closed pattern nothing does.
      return open ? 'some' : 'none';
    }
    if (segment.includes('*')) sure = false;
    else if (segment !== wanted) return 'none';
  }
  return sure ? 'all' : 'some';
}
