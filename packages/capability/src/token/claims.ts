import { TokenError } from './errors.ts';
import { isRecord, type JsonRecord } from './jws.ts';

export function malformed(claim: string, what: string, cause?: unknown): TokenError {
  return new TokenError(
    'TOKEN_MALFORMED',
    `claim ${claim}: ${what}`,
    { claim },
    cause === undefined ? undefined : { cause },
  );
}

/** An object with exactly these members: `required` all there, `optional` perhaps, no others. */
export function closedClaim(
  value: unknown,
  claim: string,
  required: readonly string[],
  optional: readonly string[] = [],
): JsonRecord {
  if (!isRecord(value)) throw malformed(claim, 'an object is expected');
  for (const name of required) {
    if (!Object.hasOwn(value, name)) throw malformed(claim, `"${name}" is missing`);
  }
  for (const name of Object.keys(value)) {
    if (!required.includes(name) && !optional.includes(name)) {
      throw malformed(claim, 'a member that is not known');
    }
  }
  return value;
}

/** A non-empty, well-formed text without control characters. */
export function text(value: unknown, claim: string, maxLength = 128): string {
  if (typeof value !== 'string' || value === '' || value.length > maxLength) {
    throw malformed(claim, `a text of 1 to ${maxLength} characters is expected`);
  }
  if (!value.isWellFormed() || /\p{Cc}/u.test(value)) {
    throw malformed(claim, 'control characters are not allowed');
  }
  return value;
}

/** A random id: base64url alphabet. */
export function id(value: unknown, claim: string): string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(value)) {
    throw malformed(claim, 'an id is expected');
  }
  return value;
}

/** base64url of a SHA-256. */
export function digest(value: unknown, claim: string): string {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(value)) {
    throw malformed(claim, 'a SHA-256 in base64url is expected');
  }
  return value;
}

export function count(value: unknown, claim: string, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw malformed(claim, `a whole number from 0 to ${max} is expected`);
  }
  return value;
}

export function list(value: unknown, claim: string, max: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > max) {
    throw malformed(claim, `a list of at most ${max} entries is expected`);
  }
  return value;
}

export function distinct(values: readonly string[], claim: string): readonly string[] {
  if (new Set(values).size !== values.length) throw malformed(claim, 'an entry stands twice');
  return Object.freeze([...values]);
}
