import type { GuardrailSet } from '../cedar/guardrails.ts';

/** What is other in one set than in another, guardrail by guardrail: an id is the same guardrail. */
export type SetDifference = {
  from: string;
  to: string;
  added: { id: string; text: string }[];
  removed: { id: string; text: string }[];
  changed: { id: string; before: string; after: string }[];
};

/** Compares as people wrote them: a moved guardrail is the same, a comment within it is a change. */
export function differenceOf(before: GuardrailSet, after: GuardrailSet): SetDifference {
  const old = textsOf(before);
  const young = textsOf(after);
  const only = (these: Map<string, string>, others: Map<string, string>) =>
    [...these].filter(([id]) => !others.has(id)).map(([id, text]) => ({ id, text }));
  return {
    from: before.version,
    to: after.version,
    added: only(young, old),
    removed: only(old, young),
    changed: [...young].flatMap(([id, text]) => {
      const was = old.get(id);
      return was === undefined || was === text ? [] : [{ id, before: was, after: text }];
    }),
  };
}

function textsOf({ guardrails }: GuardrailSet): Map<string, string> {
  return new Map(guardrails.map(({ id, text }) => [id, text]));
}
