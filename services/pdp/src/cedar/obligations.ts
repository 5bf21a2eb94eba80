import type { Obligation, ObligationType } from '@remit/contracts';

/**
 * Obligations as guardrails say them: `@obligation("redact") @fields("iban") forbid (…)`. Outcomes
 * beyond yes and no after the draft of AuthZEN's obligations profile; the draft's own words are in
 * `http/authzen-obligations.ts`, so that it can change without this.
 */

/** What a guardrail asks for, as its annotations say. */
export type Asks = Pick<Obligation, 'type' | 'properties'> & {
  /**
   * `remedy`: the guardrail forbids, and says what would change that. `duty`: it forbids only where the
   * obligation cannot be fulfilled.
   */
  kind: 'remedy' | 'duty';
};

type Declared = {
  kind: Asks['kind'];
  /** Annotations that it takes; one of `needed` must be there. */
  properties: readonly string[];
  needed: readonly string[];
};

const KINDS: Readonly<Record<ObligationType, Declared>> = {
  approval: { kind: 'remedy', properties: ['from', 'because'], needed: [] },
  step_up: { kind: 'remedy', properties: ['acr', 'max_age'], needed: ['acr', 'max_age'] },
  redact: { kind: 'duty', properties: ['fields'], needed: ['fields'] },
  limit: { kind: 'duty', properties: ['rows', 'rate'], needed: ['rows', 'rate'] },
  log: { kind: 'duty', properties: ['fields'], needed: [] },
};

/** Annotations of a guardrail that mean something without an obligation. */
const TEXT_ONLY = new Set(['id', 'obligation', 'description', 'owner', 'severity']);
const WHOLE_NUMBER = /^(0|[1-9][0-9]{0,8})$/;
const RATE = /^[1-9][0-9]{0,8}\/(second|minute|hour)$/;
const FIELDS = /^[A-Za-z0-9_.-]+( *, *[A-Za-z0-9_.-]+)*$/;

/**
 * Reads the obligation of a policy from its annotations; undefined where it has none. Returns a
 * sentence where it is not one: a kind or an annotation that is not known, or a value that no
 * enforcement point could follow. What is not understood is refused at upload, never dropped.
 */
export function readObligation(
  annotations: Readonly<Record<string, string | null>>,
): Asks | undefined | string {
  const type = annotations['obligation'];
  if (type === undefined) {
    const stray = Object.keys(annotations).find((name) => !TEXT_ONLY.has(name));
    return stray === undefined ? undefined : `@${stray} means nothing here`;
  }
  if (type === null || !Object.hasOwn(KINDS, type))
    return `@obligation is one of ${Object.keys(KINDS).join(', ')}`;
  const { kind, properties, needed } = KINDS[type as ObligationType];
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(annotations)) {
    if (TEXT_ONLY.has(name)) continue;
    if (!properties.includes(name)) return `@${name} means nothing to the obligation ${type}`;
    const wrong = value === null ? 'has no value' : wrongValue(name, value);
    if (wrong !== undefined) return `@${name} ${wrong}`;
    given[name] = value as string;
  }
  if (needed.length > 0 && !needed.some((name) => Object.hasOwn(given, name)))
    return `the obligation ${type} needs ${needed.map((name) => `@${name}`).join(' or ')}`;
  return { type: type as ObligationType, kind, properties: given };
}

function wrongValue(name: string, value: string): string | undefined {
  if (value === '' || value.length > 1_024) return 'is empty or too long';
  if ((name === 'rows' || name === 'max_age') && !WHOLE_NUMBER.test(value))
    return 'is not a whole number';
  if (name === 'rate' && !RATE.test(value)) return 'is not like 10/minute';
  if (name === 'fields' && !FIELDS.test(value)) return 'is not a list of names with commas';
  return undefined;
}
