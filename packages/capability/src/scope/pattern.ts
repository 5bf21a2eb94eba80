import { LIMITS } from './limits.ts';
import { isSegment, longerThan, type Separator } from './name.ts';

/** One segment: a literal, or what stands before and after its only star. */
interface Part {
  readonly text: string;
  readonly star: boolean;
  readonly before: string;
  readonly after: string;
}

/** A pattern over names, read once. */
export interface Pattern {
  readonly text: string;
  readonly separator: Separator;
  /** The segments without a closing `**`. */
  readonly parts: readonly Part[];
  /** It ends in `**`: one or more segments follow. */
  readonly deep: boolean;
  readonly literal: boolean;
}

const literalPart = (text: string): Part => ({ text, star: false, before: text, after: '' });
const starPart = (before: string, after: string): Part => ({
  text: `${before}*${after}`,
  star: true,
  before,
  after,
});

function readPart(text: string, separator: Separator): Part | undefined {
  const star = text.indexOf('*');
  if (star === -1) return isSegment(text, separator) ? literalPart(text) : undefined;
  const before = text.slice(0, star);
  const after = text.slice(star + 1);
  // `.` and `..` may stand beside a star: they are no whole segment there.
  const sound = (piece: string) =>
    piece === '' || isSegment(piece, separator) || (separator === '/' && /^\.\.?$/.test(piece));
  return sound(before) && sound(after) ? starPart(before, after) : undefined;
}

function build(parts: readonly Part[], deep: boolean, separator: Separator): Pattern | undefined {
  const texts = parts.map((part) => part.text);
  if (deep) texts.push('**');
  const text = texts.join(separator);
  // Stars aren't counted: what is too long here admits no name, and what it admits is never cut off.
  if (longerThan(text.replaceAll('*', ''), LIMITS.nameLength)) return undefined;
  return { text, separator, parts, deep, literal: !deep && parts.every((part) => !part.star) };
}

/** Reads a pattern; undefined where the text is none. */
export function readPattern(text: string, separator: Separator): Pattern | undefined {
  if (text === '' || text.length > 4 * LIMITS.nameLength) return undefined;
  const segments = text.split(separator);
  if (segments.length > LIMITS.nameSegments) return undefined;
  const deep = segments.at(-1) === '**';
  if (deep) segments.pop();
  const parts: Part[] = [];
  for (const segment of segments) {
    const part = readPart(segment, separator);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  return build(parts, deep, separator);
}

function partMatches(part: Part, segment: string): boolean {
  if (!part.star) return part.text === segment;
  return (
    // What stands before and after the star may not overlap.
    segment.length >= part.before.length + part.after.length &&
    segment.startsWith(part.before) &&
    segment.endsWith(part.after)
  );
}

/** Whether the pattern admits a name, given as text and as segments. Linear in the text. */
export function matches(pattern: Pattern, name: string, segments: readonly string[]): boolean {
  if (pattern.literal) return pattern.text === name;
  const { parts, deep } = pattern;
  if (deep ? segments.length <= parts.length : segments.length !== parts.length) return false;
  for (let i = 0; i < parts.length; i += 1) {
    if (!partMatches(parts[i] as Part, segments[i] as string)) return false;
  }
  return true;
}

function partWithin(inner: Part, outer: Part): boolean {
  if (!inner.star) return partMatches(outer, inner.text);
  return outer.star && inner.before.startsWith(outer.before) && inner.after.endsWith(outer.after);
}

/** Whether every name that `inner` admits is admitted by `outer`. */
export function patternWithin(inner: Pattern, outer: Pattern): boolean {
  if (outer.literal) return inner.text === outer.text;
  const more = inner.parts.length - outer.parts.length;
  if (outer.deep ? more + (inner.deep ? 1 : 0) < 1 : inner.deep || more !== 0) return false;
  return outer.parts.every((part, i) => partWithin(inner.parts[i] as Part, part));
}

/** The literals that `a`'s end and `b`'s start overlap to, shorter than both side by side. */
function overlaps(before: string, after: string, shortest: number): string[] {
  const most = before.length + after.length - shortest;
  // Borders (Knuth, Morris, Pratt): linear in the text. NUL stands in no name.
  const text = `${after}\u0000${before}`;
  const borders = [0];
  for (let i = 1, border = 0; i < text.length; i += 1) {
    while (border > 0 && text[i] !== text[border]) border = borders[border - 1] as number;
    if (text[i] === text[border]) border += 1;
    borders.push(border);
  }
  const found: string[] = [];
  for (let shared = borders.at(-1) as number; shared > 0; shared = borders[shared - 1] as number) {
    if (shared <= most) found.push(before + after.slice(shared));
  }
  return found;
}

function meetParts(a: Part, b: Part, separator: Separator): Part[] {
  if (!a.star) return partMatches(b, a.text) ? [a] : [];
  if (!b.star) return partMatches(a, b.text) ? [b] : [];
  const before = a.before.length >= b.before.length ? a.before : b.before;
  const after = a.after.length >= b.after.length ? a.after : b.after;
  if (!before.startsWith(a.before) || !before.startsWith(b.before)) return [];
  if (!after.endsWith(a.after) || !after.endsWith(b.after)) return [];
  // `ab*` and `*ba` both admit `aba`, which `ab*ba` doesn't; each side's own halves stay apart.
  const shortest = Math.max(a.before.length + a.after.length, b.before.length + b.after.length);
  const literals = overlaps(before, after, shortest).filter((text) => isSegment(text, separator));
  return [starPart(before, after), ...literals.map(literalPart)];
}

/**
 * The patterns that together admit exactly what both admit: none, one, or one with literals beside
 * it where halves overlap. Undefined where they are more than `limit`.
 */
export function meetPattern(a: Pattern, b: Pattern, limit: number): Pattern[] | undefined {
  if (patternWithin(a, b)) return [a];
  if (patternWithin(b, a)) return [b];
  const [short, long] = a.parts.length <= b.parts.length ? [a, b] : [b, a];
  const rest = long.parts.slice(short.parts.length);
  const same = rest.length === 0;
  if (same ? short.deep !== long.deep : !short.deep) return [];
  let heads: Part[][] = [[]];
  for (let i = 0; i < short.parts.length; i += 1) {
    const next = meetParts(short.parts[i] as Part, long.parts[i] as Part, short.separator);
    if (heads.length * next.length > limit) return undefined;
    heads = heads.flatMap((head) => next.map((part) => [...head, part]));
  }
  return heads
    .map((head) => build([...head, ...rest], long.deep, short.separator))
    .filter((pattern) => pattern !== undefined);
}
