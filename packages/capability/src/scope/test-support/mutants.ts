import { ARGUMENTS, CONSTRAINTS } from './mutants-of-arguments.ts';

/** One place of the algebra changed to something wrong, and the laws that turn red by it. */
export interface Mutant {
  /** Completes "a broken algebra in which …". */
  readonly name: string;
  readonly file: string;
  /** Text that stands in the file exactly once. */
  readonly from: string;
  readonly to: string;
  readonly laws: readonly string[];
}

const NAMES: readonly Mutant[] = [
  {
    name: 'a star crosses segments',
    file: 'pattern.ts',
    from: 'if (deep ? segments.length <= parts.length : segments.length !== parts.length) return false;',
    to: 'if (deep ? segments.length <= parts.length : segments.length < parts.length) return false;',
    laws: ['permits', 'meet-exact', 'nearest-miss'],
  },
  {
    name: '** admits no segment at all',
    file: 'pattern.ts',
    from: 'segments.length <= parts.length :',
    to: 'segments.length < parts.length :',
    laws: ['permits'],
  },
  {
    name: 'the halves of a star overlap',
    file: 'pattern.ts',
    from: 'segment.length >= part.before.length + part.after.length &&',
    to: '',
    laws: ['permits', 'normal-form'],
  },
  {
    name: 'ab* and *ba meet without aba',
    file: 'pattern.ts',
    from: 'return [starPart(before, after), ...literals.map(literalPart)];',
    to: 'return [starPart(before, after)];',
    laws: ['meet-greatest', 'meet-associative'],
  },
  {
    name: 'a pattern is compared by its start alone',
    file: 'pattern.ts',
    from: 'return outer.star && inner.before.startsWith(outer.before) && inner.after.endsWith(outer.after);',
    to: 'return outer.star && inner.before.startsWith(outer.before);',
    laws: ['permits', 'normal-form'],
  },
  {
    name: '** fits into *',
    file: 'pattern.ts',
    from: ': inner.deep || more !== 0) return false;',
    to: ': more !== 0) return false;',
    laws: ['permits', 'meet-exact', 'meet-associative'],
  },
  {
    name: 'a reduced list forgets what it held',
    file: 'pattern-set.ts',
    from: 'if (!within(other, item)) {',
    to: 'if (within(other, item)) {',
    laws: ['normal-form', 'permits'],
  },
  {
    name: 'a permission within another stays',
    file: 'pattern-set.ts',
    from: 'if (kept.some((other) => within(item, other))) return;',
    to: '',
    laws: ['normal-form'],
  },
  {
    name: 'a meet keeps more patterns than a permission may have',
    file: 'pattern-set.ts',
    from: 'return kept.length > limit ? undefined : kept;',
    to: 'return kept;',
    laws: ['limits'],
  },
  {
    name: 'a meet cuts what passes a limit',
    file: 'scope.ts',
    from: "if (kept.length > LIMITS.permissions) return { ok: false, code: 'SCOPE_TOO_LARGE' };",
    to: '',
    laws: ['limits'],
  },
];

const SCOPES: readonly Mutant[] = [
  {
    name: 'online is lost in a meet',
    file: 'box.ts',
    from: 'online: a.online || b.online',
    to: 'online: a.online && b.online',
    laws: ['meet-exact', 'meet-lower-bound'],
  },
  {
    name: 'online is lost in a part',
    file: 'box.ts',
    from: "return outer.online && !inner.online ? { kind: 'check' } : undefined;",
    to: 'return undefined;',
    laws: ['within-sound', 'meet-exact-related'],
  },
  {
    name: 'an online permission is taken before a local one',
    file: 'permits.ts',
    from: 'if (!box.online) return { ok: true, permission: i, online: false };',
    to: 'return { ok: true, permission: i, online: box.online };',
    laws: ['permits', 'meet-exact-beside'],
  },
  {
    name: 'a meet takes the rules of one side',
    file: 'box.ts',
    from: 'if (!a.rules.has(path.text)) rules.push([path, rule]);',
    to: '',
    laws: ['meet-exact-beside', 'meet-lower-bound', 'meet-order-free', 'meet-associative'],
  },
  {
    name: 'an action of one permission and a resource of another fit together',
    file: 'scope.ts',
    from: 'if (fitting.some((fit) => fit.actions.has(action) && fit.resources.has(resource))) continue;',
    to: 'if (fitting.some((fit) => fit.actions.has(action)) && fitting.some((fit) => fit.resources.has(resource))) continue;',
    laws: ['within-sound'],
  },
  {
    name: 'a scope is compared by its first permission',
    file: 'scope.ts',
    from: 'for (const [permission, box] of boxesOf(a).entries()) {',
    to: 'for (const [permission, box] of boxesOf(a).slice(0, 1).entries()) {',
    laws: ['within-sound', 'within-transitive'],
  },
  {
    name: 'only equal names are within one another',
    file: 'pattern.ts',
    from: 'if (outer.literal) return inner.text === outer.text;',
    to: 'return inner.text === outer.text;',
    laws: ['meet-lower-bound', 'meet-idempotent'],
  },
  {
    name: 'a scope is not within itself',
    file: 'box.ts',
    from: 'if (surelyAbsent(box, path)) return mayBeAbsent;',
    to: 'if (surelyAbsent(box, path)) return false;',
    laws: ['within-reflexive', 'meet-idempotent'],
  },
  {
    name: 'a part may start one lower',
    file: 'constraint-order.ts',
    from: '(b.min === undefined || (a.min !== undefined && a.min >= b.min)) &&',
    to: '(b.min === undefined || (a.min !== undefined && a.min >= b.min - 1)) &&',
    laws: ['tests'],
  },
  {
    name: 'a sample is not checked against the scope',
    file: 'samples.ts',
    from: 'if (operation !== undefined && permits(of, operation).ok) yield operation;',
    to: 'if (operation !== undefined) yield operation;',
    laws: ['samples'],
  },
  {
    name: 'narrower takes the first sample',
    file: 'samples.ts',
    from: 'return sampleOperations(parent).find((operation) => !permits(child, operation).ok);',
    to: 'return sampleOperations(parent).find(() => true);',
    laws: ['narrower'],
  },
  {
    name: 'narrower is not within',
    file: 'samples.ts',
    from: 'if (!within(child, parent)) return undefined;',
    to: '',
    laws: ['narrower'],
  },
  {
    name: 'the first miss is told as the nearest',
    file: 'permits.ts',
    from: '} else if (NEARNESS[miss.kind] > NEARNESS[nearest.kind]) {',
    to: '} else if (missed === -1) {',
    laws: ['nearest-miss'],
  },
  {
    name: 'what is too much is told of the wrong permission',
    file: 'scope.ts',
    from: 'if (found !== undefined) return { permission, ...found };',
    to: 'if (found !== undefined) return { permission: 0, ...found };',
    laws: ['excess'],
  },
];

export const MUTANTS: readonly Mutant[] = [...NAMES, ...ARGUMENTS, ...CONSTRAINTS, ...SCOPES];
