const UNRESERVED = /[A-Za-z0-9\-._~]/;

/**
 * An http(s) URL as RFC 9449 section 4.3 compares it: without query and fragment, after the syntax-
 * and scheme-based normalisation of RFC 3986 sections 6.2.2 and 6.2.3 (case of scheme, host and
 * percent-escapes, escapes of unreserved characters, dot segments, default port, empty path).
 * Undefined for anything else, also for a URL with credentials.
 */
export function normalHtu(text: string): string | undefined {
  // WHATWG trims and drops whitespace and turns `\` into `/`: such text is no URI (RFC 3986 section 2).
  if (text.length > 2048 || !/^https?:\/\/[\x21-\x7e]+$/i.test(text) || text.includes('\\')) {
    return undefined;
  }
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '') return undefined;
  if (!url.pathname.includes('%')) return `${url.protocol}//${url.host}${url.pathname}`;
  const path = url.pathname.replace(/%[0-9a-f]{2}/gi, (escape) => {
    const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return UNRESERVED.test(char) ? char : escape.toUpperCase();
  });
  return `${url.protocol}//${url.host}${path}`;
}
