import { parseOperation, permits, ScopeError, scope } from '@remit/capability/scope';
import { ContractError, parseJsonStrict } from '@remit/contracts';
import * as fc from 'fast-check';
import { type Target, target } from './target.ts';

// Characters that names are made of, and those that look or sort like them but are none.
const letter = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(..."abzABZ019-_.~@:+=,!$&'()é名٣/") },
  { weight: 2, arbitrary: fc.constantFrom('*', '%', '\\', ';', '?', '#', ' ', '\u0000', '\u202e') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('\u0301', '\u200d', '\ud800', '½', '\ufeff', '//', '..'),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 2 }) },
);
const nameLike = fc.array(letter, { maxLength: 24 }).map((list) => list.join(''));
const NAME = /^[\p{L}\p{M}\p{Nd}\-_.~@:+=,!$&'()/]+$/u;

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** What a call throws where it may: its own error. Anything else is a broken property. */
function refusedBy<E extends Error>(kind: abstract new (...args: never[]) => E, call: () => void) {
  try {
    call();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  return undefined;
}

const names = target({
  name: 'names',
  says: 'a resource is taken as it stands or refused; as a literal permission it admits itself alone',
  arbitrary: fc.tuple(nameLike, nameLike),
  holds([resource, other]) {
    const read = (name: string) => parseOperation({ action: 'a', resource: name });
    if (refusedBy(ScopeError, () => read(resource))) {
      const star = resource.includes('*');
      const refused = refusedBy(ScopeError, () =>
        scope([{ actions: ['a'], resources: [resource], args: [] }]),
      );
      must(star || refused !== undefined, 'it is no name, but a pattern without a star');
      return star && refused === undefined ? 'pattern' : 'refused';
    }
    must(NAME.test(resource) && resource.normalize() === resource, 'a name of other characters');
    must(!/(^|\/)\.{0,2}(\/|$)/.test(resource), 'a name with an empty or a dot segment');
    const own = scope([{ actions: ['a'], resources: [resource], args: [] }]);
    must(permits(own, read(resource)).ok, 'its own literal refuses it');
    const neighbour = refusedBy(ScopeError, () => read(other)) ? undefined : read(other);
    must(
      neighbour === undefined || permits(own, neighbour).ok === (other === resource),
      'another name is admitted',
    );
    return 'name';
  },
});

const sound = fc.constantFrom('a', 'a*', '**', 'é', '*b', 'a.b', 'x/y', 'erp/**', 'corp.example');
const mostlySound = fc.oneof({ weight: 12, arbitrary: sound }, { weight: 1, arbitrary: nameLike });
const few = fc.array(mostlySound, { maxLength: 3 });
const writtenTests = fc.record(
  {
    in: fc.array(fc.oneof(fc.constantFrom(1, 'a', 2.5, null), fc.jsonValue()), { maxLength: 2 }),
    min: fc.oneof(fc.integer(), fc.double()),
    like: few,
    hosts: few,
    each: fc.oneof(fc.record({ like: few }), fc.anything()),
    optional: fc.boolean(),
  },
  { requiredKeys: [], noNullPrototype: true },
);
const writtenPermission = fc.record(
  {
    actions: few,
    resources: few,
    args: fc.oneof(fc.constant('any'), few),
    constraints: fc.dictionary(mostlySound, writtenTests, { maxKeys: 1, noNullPrototype: true }),
  },
  { requiredKeys: ['actions', 'resources', 'args'], noNullPrototype: true },
);

const anyScope = target({
  name: 'written-scopes',
  says: 'any value is a scope or refused with a code; what is read reads back as itself and adds no action',
  arbitrary: fc.oneof(
    {
      weight: 1,
      arbitrary: fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }),
    },
    { weight: 5, arbitrary: writtenPermission },
  ),
  holds(input) {
    const refused = refusedBy(ScopeError, () => void scope([input]));
    if (refused !== undefined) {
      must(refused.code === 'SCOPE_INVALID', refused.code);
      return 'refused';
    }
    const made = scope([input]);
    const text = JSON.stringify(made);
    must(JSON.stringify(scope(JSON.parse(text))) === text, 'it reads back as another');
    const { actions } = input as { actions: string[] };
    for (const permission of made.permissions) {
      must(
        permission.actions.every((action) => actions.includes(action)),
        'an action appeared',
      );
    }
    return made.permissions.length === 0 ? 'empty' : 'scope';
  },
});

/** JSON text, some of it damaged at a few places, some with names that repeat. */
const jsonText = fc
  .tuple(
    fc.json({ maxDepth: 6 }),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom(
          '"',
          '{',
          '}',
          '[',
          ']',
          ',',
          ':',
          '\\',
          '\\u0061',
          'a',
          ' ',
          '1',
          'e',
          '\ud800',
        ),
      ),
      { maxLength: 3 },
    ),
    fc.nat(3),
  )
  .map(([text, damages, how]) => {
    let found = how === 0 ? `{"a":${text},"b":${text},"\\u0061":1}` : text;
    for (const [at, char] of how === 1 ? [] : damages) {
      const i = at % (found.length + 1);
      found = found.slice(0, i) + char + found.slice(i + (at % 2));
    }
    return found;
  });

/** How many names of one object repeat, read by a reviver that is not ours. */
function namesOf(text: string): string {
  let bytes = '';
  JSON.parse(text, (key, value: unknown) => {
    bytes += key.length;
    return value;
  });
  return bytes;
}

const json = target({
  name: 'json',
  says: 'parseJsonStrict reads what JSON.parse reads, or refuses; it never reads what JSON.parse refuses',
  arbitrary: jsonText,
  holds(text) {
    let found: unknown;
    const refused = refusedBy(ContractError, () => {
      found = parseJsonStrict(text);
    });
    if (refused !== undefined) return refused.code;
    must(JSON.stringify(found) === JSON.stringify(JSON.parse(text)), 'it reads another value');
    must(namesOf(text) === namesOf(JSON.stringify(found)), 'a member got lost');
    return 'read';
  },
});

export const textTargets: readonly Target[] = [names, anyScope, json];
