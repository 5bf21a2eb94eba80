/** `corp.example` is that host alone, `*.corp.example` those below it. IP literals stand alone. */
export interface HostPattern {
  readonly text: string;
  /** The host itself, or the suffix with its leading dot. */
  readonly host: string;
  readonly below: boolean;
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/;
const LOCAL = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+$/;
// The authority of a URL in printable ASCII, without `\`, `@` and `%`, where parsers disagree, or
// with letters that the parser maps to an ASCII host. No host that resolves is longer than this, and
// for many different letters the parser takes the square of their number (punycode).
const URL_START = /^https:\/\/[^\s\p{Cc}\\@%/?#]{1,320}(?:[/?#]|$)/iu;

function isHostName(text: string): boolean {
  if (text.length > 253) return false;
  return text.split('.').every((label) => label.length <= 63 && LABEL.test(label));
}

// The WHATWG parser reads a host whose last label is a number as IPv4.
const isNumeric = (text: string) => /(^|\.)(\d+|0x[0-9a-f]*)$/.test(text);

function canonicalIp(text: string): boolean {
  return URL.canParse(`https://${text}/`) && new URL(`https://${text}/`).hostname === text;
}

/** Reads a host pattern in lower-case; undefined where the text is none. */
export function readHostPattern(text: string): HostPattern | undefined {
  if (text.length > 255) return undefined;
  const lower = text.toLowerCase();
  const below = lower.startsWith('*.');
  const host = below ? lower.slice(2) : lower;
  if (host.startsWith('[') || isNumeric(host)) {
    return !below && canonicalIp(host) ? { text: host, host, below } : undefined;
  }
  if (!isHostName(host)) return undefined;
  return { text: lower, host: below ? `.${host}` : host, below };
}

function hostMatches(pattern: HostPattern, host: string): boolean {
  if (!pattern.below) return pattern.host === host;
  return host.endsWith(pattern.host) && !isNumeric(host) && host.length > pattern.host.length;
}

/** The host of one `local@host` in ASCII: no list, no display name, no comment, no quotes. */
export function hostOfEmail(text: string): string | undefined {
  if (text.length > 320) return undefined;
  const at = text.indexOf('@');
  const local = text.slice(0, Math.max(at, 0));
  if (local.length > 64 || !LOCAL.test(local)) return undefined;
  if (local.startsWith('.') || local.endsWith('.') || local.includes('..')) return undefined;
  const raw = text.slice(at + 1);
  // ASCII before it is lowered: U+212A (Kelvin sign) becomes `k`.
  if (!/^[\x21-\x7e]+$/.test(raw)) return undefined;
  const host = raw.toLowerCase();
  return isHostName(host) ? host : undefined;
}

/** The host of an absolute https URL without credentials, as the WHATWG parser reads it. */
export function hostOfUrl(text: string): string | undefined {
  if (!URL_START.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') return undefined;
  return url.hostname;
}

export function anyHostMatches(patterns: readonly HostPattern[], host: string): boolean {
  return patterns.some((pattern) => hostMatches(pattern, host));
}

/** Whether every host that `inner` admits is admitted by `outer`. */
export function hostWithin(inner: HostPattern, outer: HostPattern): boolean {
  if (!outer.below) return !inner.below && inner.host === outer.host;
  return inner.below ? inner.host.endsWith(outer.host) : hostMatches(outer, inner.host);
}

/** What both admit is always one of the two, or nothing. */
export function meetHost(a: HostPattern, b: HostPattern): HostPattern[] {
  if (hostWithin(a, b)) return [a];
  return hostWithin(b, a) ? [b] : [];
}
