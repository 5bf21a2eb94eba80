import { LIMITS } from './limits.ts';

export type Separator = '.' | '/';

// One character class repeated: a single pass, nothing to backtrack into.
const SEGMENT = /^[\p{L}\p{M}\p{Nd}\-_.~@:+=,!$&'()]+$/u;
const PLAIN = /^[A-Za-z0-9\-_]+$/;

/** Length in code points, without counting past `limit`. */
export function longerThan(text: string, limit: number): boolean {
  if (text.length <= limit) return false;
  if (text.length > 2 * limit) return true;
  let count = 0;
  for (let i = 0; i < text.length; i += 1) {
    // A pair of surrogates is one; half of one counts like any other.
    if ((text.codePointAt(i) as number) > 0xffff) i += 1;
    count += 1;
  }
  return count > limit;
}

/** A segment of a name: NFC, of the allowed characters, and neither `.` nor `..`. */
export function isSegment(text: string, separator: Separator): boolean {
  if (PLAIN.test(text)) return true;
  if (!SEGMENT.test(text) || text === '.' || text === '..') return false;
  if (separator === '.' && text.includes('.')) return false;
  return text.normalize('NFC') === text;
}

/**
 * The segments of a name, or undefined where the text is none. Nothing is repaired: no case folding,
 * no percent-decoding, no removal of dot segments, no Unicode normalisation. Case counts.
 */
export function splitName(text: string, separator: Separator): readonly string[] | undefined {
  if (text === '' || longerThan(text, LIMITS.nameLength)) return undefined;
  const segments = text.split(separator);
  if (segments.length > LIMITS.nameSegments) return undefined;
  return segments.every((segment) => isSegment(segment, separator)) ? segments : undefined;
}
