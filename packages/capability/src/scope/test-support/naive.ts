/**
 * A second reading of the algebra, deliberately naive: it works on permissions as written, without a
 * normal form, and shares no code with the first. Only for what the generators produce.
 */

export interface WrittenTests {
  in?: unknown[];
  eq?: unknown;
  min?: number;
  max?: number;
  like?: string[];
  emails?: string[];
  hosts?: string[];
  maxLength?: number;
  maxItems?: number;
  each?: WrittenTests;
  optional?: boolean;
  absent?: boolean;
}

export interface WrittenPermission {
  actions: string[];
  resources: string[];
  args: 'any' | string[];
  constraints?: Record<string, WrittenTests>;
  check?: 'online';
}

export interface WrittenOperation {
  action: string;
  resource: string;
  args: Record<string, unknown>;
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}

export function patternAdmits(pattern: string, name: string, separator: string): boolean {
  const one = `[^${escape(separator)}]`;
  const segments = pattern.split(separator).map((segment) => {
    if (segment === '**') return `${one}+(?:${escape(separator)}${one}+)*`;
    if (segment === '*') return `${one}+`;
    return segment.split('*').map(escape).join(`${one}*`);
  });
  return new RegExp(`^${segments.join(escape(separator))}$`, 'u').test(name);
}

function isName(text: string, separator: string): boolean {
  const segments = text.split(separator);
  return (
    text.normalize('NFC') === text &&
    [...text].length <= 512 &&
    segments.length <= 32 &&
    segments.every((segment) => {
      if (segment === '' || segment === '.' || segment === '..') return false;
      return [...segment].every((char) => /[\p{L}\p{M}\p{Nd}]|[-_.~@:+=,!$&'()]/u.test(char));
    })
  );
}

function equal(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const left = Object.entries(a);
  const right = new Map(Object.entries(b));
  return (
    left.length === right.size && left.every(([k, v]) => right.has(k) && equal(v, right.get(k)))
  );
}

function isExact(n: number): boolean {
  if (/^-?\d+$/.test(String(n))) {
    const big = BigInt(n);
    return big >= -(2n ** 53n - 1n) && big <= 2n ** 53n - 1n;
  }
  return /^-?\d{1,11}\.\d{1,4}$/.test(String(n));
}

function hostListed(host: string, listed: string[]): boolean {
  const lower = host.toLowerCase();
  return listed.some((entry) =>
    entry.startsWith('*.') ? lower.endsWith(entry.slice(1)) : lower === entry,
  );
}

export function passes(value: unknown, tests: WrittenTests): boolean {
  if (typeof value === 'number' && !isExact(value)) return false;
  const checks: boolean[] = [];
  const { min, max, like, emails, hosts, maxLength, maxItems, each } = tests;
  if (tests.in) checks.push(tests.in.some((one) => equal(one, value)));
  if ('eq' in tests) checks.push(equal(tests.eq, value));
  if (min !== undefined) checks.push(typeof value === 'number' && value >= min);
  if (max !== undefined) checks.push(typeof value === 'number' && value <= max);
  if (maxLength !== undefined)
    checks.push(typeof value === 'string' && [...value].length <= maxLength);
  if (maxItems !== undefined) checks.push(Array.isArray(value) && value.length <= maxItems);
  if (each) checks.push(Array.isArray(value) && value.every((one) => passes(one, each)));
  if (like) {
    checks.push(
      typeof value === 'string' &&
        isName(value, '/') &&
        like.some((pattern) => patternAdmits(pattern, value, '/')),
    );
  }
  if (emails) {
    const [local, host, ...more] = typeof value === 'string' ? value.split('@') : [];
    checks.push(
      local !== undefined &&
        host !== undefined &&
        more.length === 0 &&
        /^[a-z.]+$/.test(local) &&
        /^[A-Za-z0-9.-]+$/.test(host) &&
        hostListed(host, emails),
    );
  }
  if (hosts) {
    const found =
      typeof value === 'string' ? /^https:\/\/([A-Za-z0-9.-]+)(:\d+)?(\/.*)?$/.exec(value) : null;
    checks.push(found !== null && hostListed(found[1] as string, hosts));
  }
  return checks.every(Boolean);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function leaves(value: unknown, path: string[]): string[][] {
  if (!isPlain(value) || (Object.keys(value).length === 0 && path.length > 0)) {
    return [path];
  }
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

function lookUp(args: unknown, path: string): { found: boolean; value?: unknown } {
  let value = args;
  for (const key of path.split('.')) {
    if (!isPlain(value) || !(key in value)) return { found: false };
    value = value[key];
  }
  return { found: true, value };
}

function covered(leaf: string[], paths: string[]): boolean {
  return paths.some((path) => {
    const keys = path.split('.');
    return keys.every((key, i) => leaf[i] === key);
  });
}

function boxAdmits(box: WrittenPermission, op: WrittenOperation): boolean {
  const { args } = box;
  if (!box.actions.some((pattern) => patternAdmits(pattern, op.action, '.'))) return false;
  if (!box.resources.some((pattern) => patternAdmits(pattern, op.resource, '/'))) return false;
  if (args !== 'any' && !leaves(op.args, []).every((leaf) => covered(leaf, args))) return false;
  return Object.entries(box.constraints ?? {}).every(([path, tests]) => {
    const { found, value } = lookUp(op.args, path);
    const { optional, absent, ...rest } = tests;
    if (!found) return Boolean(optional) || (Boolean(absent) && Object.keys(rest).length === 0);
    return !absent && passes(value, rest);
  });
}

/** Whether a list of permissions, as written, admits an operation. */
export function naiveAdmits(permissions: WrittenPermission[], op: WrittenOperation): boolean {
  return permissions.some((box) => boxAdmits(box, op));
}

/** Whether it admits it without asking the PDP. */
export function naiveLocal(permissions: WrittenPermission[], op: WrittenOperation): boolean {
  return permissions.some((box) => box.check === undefined && boxAdmits(box, op));
}

/** How many sides of a permission refuse an operation; every constraint is a side. */
function sidesMissed(box: WrittenPermission, op: WrittenOperation): number {
  const open: WrittenPermission = { ...box, constraints: {} };
  const alone: WrittenPermission[] = [
    { ...open, resources: ['**'], args: 'any' },
    { ...open, actions: ['**'], args: 'any' },
    { ...open, actions: ['**'], resources: ['**'] },
    ...Object.entries(box.constraints ?? {}).map(([path, tests]) => ({
      actions: ['**'],
      resources: ['**'],
      args: 'any' as const,
      constraints: { [path]: tests },
    })),
  ];
  return alone.filter((side) => !boxAdmits(side, op)).length;
}

/** Whether a list of permissions admits an operation, one of them misses it by one side, or none does. */
export function naiveReach(
  permissions: WrittenPermission[],
  op: WrittenOperation,
): 'hit' | 'near' | 'far' {
  const least = Math.min(...permissions.map((box) => sidesMissed(box, op)), 9);
  return least === 0 ? 'hit' : least === 1 ? 'near' : 'far';
}

/** Whether one permission admits the names of an operation. */
export function naiveNames(box: WrittenPermission, op: WrittenOperation) {
  return {
    action: box.actions.some((pattern) => patternAdmits(pattern, op.action, '.')),
    resource: box.resources.some((pattern) => patternAdmits(pattern, op.resource, '/')),
  };
}

/** Whether one permission lets all arguments of an operation be given. */
export function naiveArgs(box: WrittenPermission, op: WrittenOperation): boolean {
  return boxAdmits({ ...box, actions: ['**'], resources: ['**'], constraints: {} }, op);
}

/** Whether one constraint of a permission holds. */
export function naiveConstraint(box: WrittenPermission, path: string, op: WrittenOperation) {
  const only = Object.fromEntries(
    Object.entries(box.constraints ?? {}).filter(([name]) => name === path),
  );
  return boxAdmits({ actions: ['**'], resources: ['**'], args: 'any', constraints: only }, op);
}
