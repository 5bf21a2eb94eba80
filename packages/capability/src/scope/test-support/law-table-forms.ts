import * as fc from 'fast-check';
import { LIMITS, type Operation, type Scope } from '../index.ts';
import { crowded, operationNear, written } from './arbitraries.ts';
import { type Algebra, type Law, law, must } from './law.ts';
import {
  naiveAdmits,
  naiveArgs,
  naiveConstraint,
  naiveNames,
  naiveReach,
  type WrittenOperation,
  type WrittenPermission,
} from './naive.ts';
import { narrowed } from './narrow.ts';

const asWritten = (made: Scope) => made.permissions as unknown as WrittenPermission[];
const asOperation = (operation: Operation) => operation as unknown as WrittenOperation;
const asJson = (made: Scope): unknown => JSON.parse(JSON.stringify(made));

const one = written.chain((a) => fc.tuple(fc.constant(a), operationNear(a)));
const pair = written.chain((parent) => fc.tuple(narrowed(parent), fc.constant(parent)));

/** Read back, it is the same text, and none of its permissions or patterns says what another does. */
function isNormal(of: Algebra, made: Scope): void {
  const text = JSON.stringify(made.permissions);
  must(JSON.stringify(of.scope(asJson(made)).permissions) === text, 'it reads back as another');
  for (const [i, permission] of made.permissions.entries()) {
    // Within one other: what several say between them is no reason to drop it.
    const within = made.permissions.some(
      (other, at) => at !== i && of.within(of.scope([permission]), of.scope([other])),
    );
    must(!within, 'a permission says nothing new');
  }
}

function checkMiss(of: Algebra, a: WrittenPermission[], operation: WrittenOperation) {
  const made = of.scope(a);
  const result = of.permits(made, of.parseOperation(operation));
  const reached = naiveReach(a, operation);
  if (result.ok) return reached;
  const { miss } = result;
  const boxes = asWritten(made);
  const names = boxes.map((box) => naiveNames(box, operation));
  const named = boxes.filter((_, i) => names[i]?.action && names[i]?.resource);
  const given = named.filter((box) => naiveArgs(box, operation));
  must(miss.action === operation.action && miss.resource === operation.resource, 'other names');
  if (miss.kind === 'action') must(!names.some((name) => name.action), 'the action is admitted');
  else
    must(
      names.some((name) => name.action),
      'the action alone is refused already',
    );
  if (miss.kind === 'resource') must(named.length === 0, 'a permission admits both names');
  if (miss.kind === 'args' || miss.kind === 'constraint') {
    const box = boxes[miss.permission] as WrittenPermission;
    must(named.includes(box), 'the permission that is named does not admit the names');
    must(given.includes(box) === (miss.kind === 'constraint'), 'another side of it is missed');
    must(miss.kind === 'constraint' || given.length === 0, 'another permission came nearer');
    if (miss.kind === 'constraint') {
      must(!naiveConstraint(box, miss.path, operation), 'that constraint holds');
    }
  }
  return reached;
}

/** The laws of forms: normal form, limits, samples, and what is told of a refusal. */
export const FORM_LAWS: readonly Law[] = [
  law({
    name: 'normal-form',
    says: 'the normal form admits exactly what was written, reads back as itself, and says nothing twice',
    atLeast: { hit: 0.25, near: 0.25 },
    arbitrary: one,
    holds(of, [a, operation]) {
      const made = of.scope(a);
      const expected = naiveAdmits(a, operation);
      must(naiveAdmits(asWritten(made), operation) === expected, `as written it is ${expected}`);
      isNormal(of, made);
      return naiveReach(a, operation);
    },
  }),
  law({
    name: 'limits',
    says: 'a meet that passes a limit is SCOPE_TOO_LARGE; one that does not keeps every limit and can be read back',
    atLeast: { hit: 0.3, near: 0.01 },
    arbitrary: crowded,
    holds(of, [a, b]) {
      const result = of.meet(of.scope(a), of.scope(b));
      if (!result.ok) {
        must(result.code === 'SCOPE_TOO_LARGE', 'another code');
        return 'near';
      }
      const { permissions } = result.scope;
      must(permissions.length <= LIMITS.permissions, 'more permissions than a scope may have');
      for (const { actions, resources } of permissions) {
        must(actions.length <= LIMITS.actions, 'more actions than a permission may have');
        must(resources.length <= LIMITS.resources, 'more resources than a permission may have');
      }
      isNormal(of, result.scope);
      return permissions.length > 0 ? 'hit' : 'far';
    },
  }),
  law({
    name: 'samples',
    says: 'every sample is admitted by the scope',
    atLeast: { hit: 0.75 },
    arbitrary: written,
    holds(of, a) {
      const found = of.samples(of.scope(a));
      for (const operation of found.slice(0, 40)) {
        must(naiveAdmits(a, asOperation(operation)), 'a sample that the scope refuses');
      }
      return found.length > 0 ? 'hit' : of.scope(a).permissions.length > 0 ? 'near' : 'far';
    },
  }),
  law({
    name: 'narrower',
    says: 'narrower(child, parent) is an operation that the parent admits and the child refuses; nothing only where the child is not within, or admits every sample',
    atLeast: { hit: 0.2, near: 0.2 },
    arbitrary: pair,
    holds(of, [child, parent]) {
      const [c, p] = [of.scope(child), of.scope(parent)];
      const shown = of.narrower(c, p);
      if (shown === undefined) {
        if (!of.within(c, p)) return 'far';
        const lost = of.samples(p).find((operation) => !of.permits(c, operation).ok);
        must(lost === undefined, 'a sample shows what is given up');
        return 'near';
      }
      must(of.within(c, p), 'the child is not within the parent');
      must(naiveAdmits(parent, asOperation(shown)), 'the parent refuses it');
      must(!naiveAdmits(child, asOperation(shown)), 'the child admits it');
      return 'hit';
    },
  }),
  law({
    name: 'nearest-miss',
    says: 'the nearest miss names a side that really refuses, of a permission that no other came nearer than',
    atLeast: { hit: 0.25, near: 0.25 },
    arbitrary: one,
    holds: (of, [a, operation]) => checkMiss(of, a, operation),
  }),
  law({
    name: 'excess',
    says: 'what is too much is a part of the request, and alone is too much already',
    atLeast: { hit: 0.2, near: 0.3 },
    arbitrary: pair,
    holds(of, [child, parent]) {
      const [c, p] = [of.scope(child), of.scope(parent)];
      const found = of.excess(c, p);
      if (found === undefined) return c.permissions.length > 0 ? 'near' : 'far';
      const permission = asWritten(c)[found.permission] as WrittenPermission;
      must(permission.actions.includes(found.action), 'an action that was not asked for');
      must(permission.resources.includes(found.resource), 'a resource that was not asked for');
      const alone = { ...permission, actions: [found.action], resources: [found.resource] };
      must(!of.within(of.scope([alone]), p), 'alone it is not too much');
      if (found.kind === 'check') must(permission.check === undefined, 'it is online already');
      return 'hit';
    },
  }),
];
