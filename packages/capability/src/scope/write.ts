import type { Box } from './box.ts';
import type { Rule, Tests } from './constraint.ts';
import type { Constraint, ElementTests, Permission } from './types.ts';

const texts = (items: readonly { readonly text: string }[]) =>
  Object.freeze(items.map((item) => item.text));

function writeTests(tests: Tests): ElementTests {
  const { in: values, like, emails, hosts, each, ...numbers } = tests;
  return {
    ...(values && { in: Object.freeze([...values.values()]) }),
    ...numbers,
    ...(like && { like: texts(like) }),
    ...(emails && { emails: texts(emails) }),
    ...(hosts && { hosts: texts(hosts) }),
    ...(each && { each: Object.freeze(writeTests(each)) }),
  };
}

function writeRule(rule: Rule): Constraint {
  if ('absent' in rule) return Object.freeze({ absent: true });
  return Object.freeze({ ...writeTests(rule.tests), ...(rule.optional && { optional: true }) });
}

/** The permission as JSON, frozen; `scope()` reads it back to the same box. */
export function toPermission(box: Box): Permission {
  const constraints = Object.fromEntries(
    box.rules.values().map(({ path, rule }) => [path.text, writeRule(rule)]),
  );
  return Object.freeze({
    actions: texts(box.actions),
    resources: texts(box.resources),
    args: box.args === 'any' ? 'any' : texts(box.args),
    ...(box.rules.size > 0 && { constraints: Object.freeze(constraints) }),
    ...(box.online && { check: 'online' }),
  });
}
