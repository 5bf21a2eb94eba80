/** A compact JWS or JWT: every JSON header begins with `{"`, which is `eyJ`. */
const COMPACT = /eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?/g;
const PEM_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
const NKEY_SEED = /\bS[UAOCNX][A-Z2-7]{56}\b/g;

/** What stands where a secret was. */
export const REMOVED = '[removed]';

/**
 * Copies a JSON value with tokens, links, proofs and private keys taken out of its texts, since a
 * caller may put its own into any argument. Finds compact JWS, PEM and nkey seeds; a secret without
 * a form of its own can't be told from text, and whoever records must leave it out.
 */
export function scrub<T>(value: T, onRemoved: () => void): T {
  if (typeof value === 'string') return scrubText(value, onRemoved) as T;
  if (Array.isArray(value)) return value.map((item) => scrub(item, onRemoved)) as T;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([name, item]) => [scrubText(name, onRemoved), scrub(item, onRemoved)]);
    return Object.fromEntries(entries) as T;
  }
  return value;
}

function scrubText(text: string, onRemoved: () => void): string {
  let clean = text;
  if (clean.includes('eyJ')) clean = clean.replace(COMPACT, REMOVED);
  if (clean.includes('PRIVATE KEY')) clean = clean.replace(PEM_KEY, REMOVED);
  if (clean.length >= 58) clean = clean.replace(NKEY_SEED, REMOVED);
  if (clean !== text) onRemoved();
  return clean;
}
