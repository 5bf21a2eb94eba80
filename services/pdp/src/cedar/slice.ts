import { type Head, headMatches, type Subject } from './head.ts';
import { resourceAncestors } from './request.ts';
import { actionGroups } from './schema.ts';

/** Finds the policies of a set whose head does not exclude a request, without looking at the others. */
export type GuardrailIndex = {
  /** Positions in the set, ascending. */
  candidates(subject: Subject, resource: string): readonly number[];
};

type Buckets = Map<string, number[]>;

/**
 * Files each policy once, under the narrowest side of its head: resource, else principal, else
 * action; open ones apply to everything. So a request touches the buckets of its own names only,
 * however many policies speak about others.
 */
export function createIndex(policies: readonly { head: Head }[]): GuardrailIndex {
  const byResource: Buckets = new Map();
  const byPrincipal: Buckets = new Map();
  const byAction: Buckets = new Map();
  const open: number[] = [];

  for (const [position, { head }] of policies.entries()) {
    const [side, buckets] = narrowest(head, byResource, byPrincipal, byAction);
    if (side.op === 'never') continue;
    if (side.op === 'any') {
      open.push(position);
      continue;
    }
    for (const id of new Set(side.op === 'eq' ? [side.id] : side.ids)) {
      const bucket = buckets.get(id);
      if (bucket) bucket.push(position);
      else buckets.set(id, [position]);
    }
  }

  return {
    candidates(subject, resource) {
      const found = new Set(open);
      const collect = (buckets: Buckets, names: readonly string[]) => {
        for (const name of names)
          for (const position of buckets.get(name) ?? []) found.add(position);
      };
      collect(byResource, [resource, ...resourceAncestors(resource)]);
      collect(byPrincipal, [subject.principal]);
      collect(byAction, [subject.action, ...actionGroups(subject.action)]);
      return [...found]
        .filter((position) =>
          headMatches((policies[position] as { head: Head }).head, subject, resource),
        )
        .toSorted((a, b) => a - b);
    },
  };
}

function narrowest(
  head: Head,
  byResource: Buckets,
  byPrincipal: Buckets,
  byAction: Buckets,
): [Head['action'], Buckets] {
  const sides: [Head['action'], Buckets][] = [
    [head.resource, byResource],
    [head.principal, byPrincipal],
    [head.action, byAction],
  ];
  const excluded = sides.find(([side]) => side.op === 'never');
  const narrow = sides.find(([side]) => side.op !== 'any');
  return excluded ?? narrow ?? [head.action, byAction];
}
