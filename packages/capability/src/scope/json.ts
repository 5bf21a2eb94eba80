import { ScopeError, type ScopeErrorCode } from './errors.ts';
import { LIMITS } from './limits.ts';
import type { Json } from './types.ts';

const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

/** Whether a key may stand in arguments, and so in a path. */
export function isArgumentKey(key: string): boolean {
  return key !== '' && !key.includes('.') && !FORBIDDEN_KEYS.has(key);
}

/**
 * A number that JSON, JavaScript and Cedar write alike: an integer up to 2^53−1, or one below 10^11
 * whose shortest decimal form has at most four fractional digits and no exponent.
 */
export function isExactNumber(value: number): boolean {
  if (Number.isSafeInteger(value)) return true;
  if (!(Math.abs(value) < 1e11)) return false;
  const text = String(value);
  const point = text.indexOf('.');
  return point !== -1 && !text.includes('e') && text.length - point - 1 <= 4;
}

interface CopyRules {
  readonly code: ScopeErrorCode;
  readonly depth: number;
  readonly nodes: number;
  readonly text: number;
  readonly isKey: (key: string) => boolean;
  readonly isNumber: (value: number) => boolean;
}

export const ARGUMENT_RULES: CopyRules = {
  code: 'ARGUMENT_INVALID',
  depth: LIMITS.argumentDepth,
  nodes: LIMITS.argumentNodes,
  text: LIMITS.argumentText,
  isKey: isArgumentKey,
  isNumber: Number.isFinite,
};

/** A value that a permission compares with: only exact numbers. */
export const VALUE_RULES: CopyRules = {
  ...ARGUMENT_RULES,
  code: 'SCOPE_INVALID',
  isNumber: isExactNumber,
};

export const SCOPE_RULES: CopyRules = {
  code: 'SCOPE_INVALID',
  depth: LIMITS.scopeDepth,
  nodes: LIMITS.scopeNodes,
  text: LIMITS.scopeText,
  isKey: (key) => !FORBIDDEN_KEYS.has(key),
  isNumber: Number.isFinite,
};

/**
 * Copies plain JSON and freezes the copy to the bottom; every property is read once, so what is
 * checked is what is used. Refused: anything that JSON can't hold (undefined, functions, dates,
 * instances of classes, NaN), keys that the rules refuse, and what passes their limits.
 */
export function copyJson(input: unknown, rules: CopyRules): Json {
  let nodes = 0;
  let text = 0;
  const at: (string | number)[] = [];
  const refuse = (what: string): never => {
    throw new ScopeError(rules.code, what, { at: [...at] });
  };
  const count = (length: number) => {
    text += length;
    if (text > rules.text) refuse('too much text');
  };
  const copy = (value: unknown): Json => {
    nodes += 1;
    if (nodes > rules.nodes) refuse('too many values');
    if (at.length > rules.depth) refuse('nested too deeply');
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'string') {
      count(value.length);
      return value;
    }
    if (typeof value === 'number') {
      if (!rules.isNumber(value)) refuse('a number that cannot be represented exactly');
      return value === 0 ? 0 : value;
    }
    if (typeof value !== 'object') return refuse('a value that JSON cannot hold');
    return Array.isArray(value) ? copyArray(value) : copyObject(value);
  };
  const copyArray = (value: readonly unknown[]): Json => {
    const out: Json[] = [];
    if (value.length > rules.nodes) refuse('too many values');
    for (let i = 0; i < value.length; i += 1) {
      at.push(i);
      out.push(copy(value[i]));
      at.pop();
    }
    return Object.freeze(out);
  };
  const copyObject = (value: object): Json => {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null)
      refuse('a value that is no plain object');
    const out: Record<string, Json> = {};
    for (const key of Object.keys(value)) {
      if (!rules.isKey(key)) refuse('a key that is empty, holds a dot or is reserved');
      count(key.length);
      at.push(key);
      out[key] = copy((value as Record<string, unknown>)[key]);
      at.pop();
    }
    return Object.freeze(out);
  };
  return copy(input);
}

const memo = new WeakMap<object, string>();

/** The same text for values that are equal as JSON, whatever the order of their keys. */
export function canonical(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const known = memo.get(value);
  if (known !== undefined) return known;
  const text = Array.isArray(value)
    ? `[${value.map(canonical).join(',')}]`
    : `{${Object.keys(value)
        .toSorted()
        .map(
          (key) =>
            `${JSON.stringify(key)}:${canonical((value as Record<string, Json>)[key] as Json)}`,
        )
        .join(',')}}`;
  memo.set(value, text);
  return text;
}
