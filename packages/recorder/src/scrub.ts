/** What a compact JWS is made of. Maximal runs, so that hostile text costs one pass. */
const RUN = /[A-Za-z0-9_.-]{12,}/g;
/** Every JSON header begins with `{"`, which is this in base64url. */
const HEADER = 'eyJ';
const MIN_HEADER = 11;
const PEM_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
const NKEY_SEED = /\bS[UAOCNX][A-Z2-7]{56}\b/g;

const OWN = { configurable: true, enumerable: true, writable: true } as const;

/** What stands where a secret was. */
const REMOVED = '[removed]';

/**
 * Copies a JSON value with tokens, links, proofs and private keys taken out of its texts, since a
 * caller may put its own into any argument. Finds compact JWS, PEM and nkey seeds; a secret without
 * a form of its own can't be told from text, and whoever records must leave it out.
 */
export function scrub<T>(value: T, onRemoved: () => void): T {
  if (typeof value === 'string') return scrubText(value, onRemoved) as T;
  if (Array.isArray(value)) return value.map((item) => scrub(item, onRemoved)) as T;
  if (typeof value === 'object' && value !== null) {
    const copy: Record<string, unknown> = {};
    for (const name of Object.keys(value)) {
      const item = (value as Record<string, unknown>)[name];
      if (item === undefined) continue;
      const clean = scrubText(name, onRemoved);
      // A plain assignment would set the prototype instead of a member.
      if (clean !== '__proto__') copy[clean] = scrub(item, onRemoved);
      else Object.defineProperty(copy, clean, { ...OWN, value: scrub(item, onRemoved) });
    }
    return copy as T;
  }
  return value;
}

function scrubText(text: string, onRemoved: () => void): string {
  let clean = text;
  if (clean.includes(HEADER)) clean = clean.replace(RUN, withoutCompactJws);
  if (clean.includes('PRIVATE KEY')) clean = clean.replace(PEM_KEY, REMOVED);
  if (clean.length >= 58) clean = clean.replace(NKEY_SEED, REMOVED);
  if (clean !== text) onRemoved();
  return clean;
}

/** Cuts a run from the first header of a compact JWS on. */
function withoutCompactJws(run: string): string {
  for (let start = 0, dot = run.indexOf('.'); dot !== -1; dot = run.indexOf('.', start)) {
    const header = run.slice(start, dot).indexOf(HEADER);
    if (header !== -1 && dot - start - header >= MIN_HEADER) {
      return run.slice(0, start + header) + REMOVED;
    }
    start = dot + 1;
  }
  return run;
}
