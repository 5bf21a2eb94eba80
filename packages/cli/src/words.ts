import type { Constraint, ElementTests, Permission } from '@remit/capability/scope';

/**
 * A permission as a person reads it: `orders.create on erp/orders: supplier S-100, any item, amount up
 * to 5,000, currency EUR`. For people only: what it leaves out (paths below a path, `check`) a program
 * has to read from the permission.
 */
export function permissionInWords(permission: Permission): string {
  const { actions, resources, args, constraints = {} } = permission;
  const what = `${actions.join(', ')} on ${resources.join(', ')}`;
  const constrained = Object.entries(constraints).map(([path, tests]) => inWords(path, tests));
  const free = args === 'any' ? [] : args.filter((path) => !Object.hasOwn(constraints, path));
  const named = [...constrained, ...free.map((path) => `any ${path}`)];
  if (args === 'any') named.push(named.length > 0 ? 'anything else' : 'any arguments');
  return named.length > 0 ? `${what}: ${named.join(', ')}` : what;
}

function inWords(path: string, tests: Constraint): string {
  if (tests.absent) return `no ${path}`;
  const said = testsInWords(tests);
  return `${path}${said.length > 0 ? ` ${said.join(' and ')}` : ''}${tests.optional ? ' (optional)' : ''}`;
}

function testsInWords(tests: ElementTests): string[] {
  const { in: values, min, max, like, emails, hosts, maxLength, maxItems, each } = tests;
  return [
    values && values.map(valueInWords).join(' or '),
    rangeInWords(min, max),
    like && `like ${like.join(' or ')}`,
    emails && `at ${emails.join(' or ')}`,
    hosts && `on ${hosts.join(' or ')}`,
    maxLength !== undefined && `up to ${numberInWords(maxLength)} characters`,
    maxItems !== undefined && `up to ${numberInWords(maxItems)} elements`,
    each && `each ${testsInWords(each).join(' and ')}`,
  ].filter((said): said is string => typeof said === 'string');
}

function rangeInWords(min: number | undefined, max: number | undefined): string | undefined {
  if (max === undefined) return min === undefined ? undefined : `from ${numberInWords(min)}`;
  return min === undefined || min === 0
    ? `up to ${numberInWords(max)}`
    : `${numberInWords(min)} to ${numberInWords(max)}`;
}

function valueInWords(value: unknown): string {
  if (typeof value === 'number') return numberInWords(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** At most four digits of a fraction can be compared, so no more can be there. */
function numberInWords(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 4 });
}
