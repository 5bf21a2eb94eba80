import { ContractError } from './error.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue };

/** Limits of {@link parseJsonStrict}: characters of text and levels of nesting. */
export type JsonLimits = { maxLength: number; maxDepth: number };

const DEFAULT_LIMITS: JsonLimits = { maxLength: 1_048_576, maxDepth: 32 };
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Parses JSON as a security boundary must: one reading only (RFC 7493, I-JSON).
 * Refuses a duplicate member name, a name that reaches a prototype, half a surrogate pair, nesting
 * over `maxDepth` (default 32) and text over `maxLength` characters (default 1 MiB).
 * Does not check a schema. Throws ContractError `JSON_MALFORMED`, `JSON_DUPLICATE_KEY`,
 * `JSON_TOO_DEEP` or `JSON_TOO_LARGE`.
 */
export function parseJsonStrict(text: string, limits: Partial<JsonLimits> = {}): JsonValue {
  const { maxLength, maxDepth } = { ...DEFAULT_LIMITS, ...limits };
  if (text.length > maxLength) throw new ContractError('JSON_TOO_LARGE', 'JSON text is too large');
  scan(text, maxDepth);
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch {
    throw new ContractError('JSON_MALFORMED', 'text is not JSON');
  }
  // What has no canonical form could be asked for and refused, but never written down.
  if (!text.isWellFormed() || (SURROGATE_ESCAPE.test(text) && !isWellFormed(value))) {
    throw new ContractError('JSON_MALFORMED', 'a text is not well-formed');
  }
  return value;
}

const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

function isWellFormed(value: JsonValue): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([name, below]) => name.isWellFormed() && isWellFormed(below));
}

/**
 * One linear pass before JSON.parse, which keeps the last of two equal names in silence and
 * recurses as deep as it is told. Malformed text is left to JSON.parse to refuse.
 */
function scan(text: string, maxDepth: number): void {
  const names: (Set<string> | null)[] = [];
  let expectName = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '"') {
      const end = endOfString(text, i);
      const seen = names.at(-1);
      if (expectName && seen) {
        claimName(text.slice(i, end + 1), seen);
        expectName = false;
      }
      i = end;
    } else if (char === '{' || char === '[') {
      names.push(char === '{' ? new Set() : null);
      if (names.length > maxDepth)
        throw new ContractError('JSON_TOO_DEEP', 'JSON is nested too deep');
      expectName = char === '{';
    } else if (char === '}' || char === ']') {
      names.pop();
      expectName = false;
    } else if (char === ',') {
      expectName = names.at(-1) instanceof Set;
    }
  }
}

function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"') return i;
  }
  throw new ContractError('JSON_MALFORMED', 'text is not JSON');
}

function claimName(quoted: string, seen: Set<string>): void {
  let name: string;
  try {
    name = JSON.parse(quoted) as string;
  } catch {
    throw new ContractError('JSON_MALFORMED', 'text is not JSON');
  }
  if (FORBIDDEN_KEYS.has(name)) {
    throw new ContractError('JSON_MALFORMED', 'a member name is not allowed', { name });
  }
  if (seen.has(name)) {
    throw new ContractError('JSON_DUPLICATE_KEY', 'a member name is given twice', { name });
  }
  seen.add(name);
}
