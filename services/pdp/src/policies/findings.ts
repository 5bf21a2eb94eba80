import { type PolicyJson, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { canonicalText } from '@remit/contracts';
import type { Guardrail } from '../cedar/guardrails.ts';
import { covers } from './covers.ts';

/** A guardrail that can be left out without any decision changing. */
export type Finding = {
  policy: string;
  kind: 'never_applies' | 'covered';
  /** The guardrail that forbids all that this one does. */
  by?: string;
  message: string;
};

/**
 * Guardrails that decide nothing: of a head that no request has, or whose every request another one
 * forbids too (an unconditional one, or one of the same conditions, with a head at least as wide).
 * Says nothing wrong, and not everything: conditions are compared as they are written, not by meaning.
 * A condition that cannot hold by its types is refused at upload already.
 */
export function findingsOf(guardrails: readonly Guardrail[]): Finding[] {
  const findings: Finding[] = [];
  const read = guardrails.map((guardrail, position) => ({
    guardrail,
    position,
    conditions: conditionsOf(guardrail),
  }));
  // Only what is unconditional, or has the same conditions, can cover: so this is not all against all.
  const byConditions = Map.groupBy(read, ({ conditions }) => conditions);
  const always = byConditions.get(ALWAYS) ?? [];
  for (const { guardrail, conditions, position: at } of read) {
    const { head, id } = guardrail;
    if (Object.values(head).some((side) => side.op === 'never')) {
      findings.push({
        policy: id,
        kind: 'never_applies',
        message: `${id} never applies: its head names a type that principal, action or resource never has.`,
      });
      continue;
    }
    const same = conditions === ALWAYS ? [] : (byConditions.get(conditions) ?? []);
    const wider = [...always, ...same].find(
      ({ guardrail: other, conditions: theirs, position }) =>
        other !== guardrail &&
        covers(other.head, head) &&
        // Of two that are equal the later one is found, not both.
        (!covers(head, other.head) || theirs !== conditions || position < at),
    )?.guardrail;
    if (wider) {
      findings.push({
        policy: id,
        kind: 'covered',
        by: wider.id,
        message: `${id} changes nothing: ${wider.id} forbids all that it forbids.`,
      });
    }
  }
  return findings;
}

const ALWAYS = canonicalText([]);

/** The conditions as Cedar reads them, in one spelling. Annotations are no conditions. */
function conditionsOf({ id, text }: Guardrail): string {
  const answer = policyToJson(text);
  // It was read before, so this is for the types; what has no form equals nothing else.
  if (answer.type === 'failure') return `unread:${id}`;
  const { annotations, conditions }: PolicyJson = answer.json;
  // It may ask for something instead of refusing, so it stands for no other.
  if (annotations && 'obligation' in annotations) return `obligation:${id}`;
  return canonicalText(conditions);
}
