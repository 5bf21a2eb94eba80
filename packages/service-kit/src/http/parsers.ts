import { ContractError, parseJsonStrict } from '@remit/contracts';
import { wireError } from '../errors.ts';

const MAX_FORM_FIELDS = 64;
const FORBIDDEN_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

/** Media types a route may take. `none` refuses any body. */
export const JSON_TYPE = 'application/json';
export const FORM_TYPE = 'application/x-www-form-urlencoded';
export type Consumes = typeof FORM_TYPE | typeof JSON_TYPE | 'none' | (string & {});

/** Bytes to text; a malformed sequence is an error and a byte order mark is not removed. */
function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw wireError('INVALID_REQUEST', { detail: 'The body is not UTF-8.', cause });
  }
}

const JSON_DETAILS: Readonly<Record<string, string>> = {
  JSON_DUPLICATE_KEY: 'The body gives a member name twice.',
  JSON_MALFORMED: 'The body is not acceptable JSON.',
  JSON_TOO_DEEP: 'The body is nested too deep.',
};

/** A JSON body: duplicate names, names that reach a prototype and deep nesting are refused. */
export function parseJsonBody(bytes: Uint8Array, maxLength: number): unknown {
  try {
    return parseJsonStrict(decodeUtf8(bytes), { maxLength });
  } catch (cause) {
    if (!(cause instanceof ContractError)) throw cause;
    if (cause.code === 'JSON_TOO_LARGE') throw wireError('PAYLOAD_TOO_LARGE', { cause });
    const detail = JSON_DETAILS[cause.code] ?? 'The body is not acceptable JSON.';
    throw wireError('INVALID_REQUEST', { detail, cause });
  }
}

/**
 * A form body as OAuth has it (RFC 6749 section 3.2): a name may be given once, percent-encoding must
 * be well-formed, and names that reach a prototype are refused. `repeatable` names become arrays
 * (RFC 8693 allows several `audience` and `resource`).
 */
export function parseFormBody(
  bytes: Uint8Array,
  repeatable: ReadonlySet<string> = new Set(),
): Record<string, string | string[]> {
  const form: Record<string, string | string[]> = {};
  const text = decodeUtf8(bytes);
  if (text === '') return form;
  const pairs = text.split('&');
  if (pairs.length > MAX_FORM_FIELDS) {
    throw wireError('INVALID_REQUEST', { detail: 'The form has too many fields.' });
  }
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at <= 0) throw wireError('INVALID_REQUEST', { detail: 'The form is malformed.' });
    const name = decodeComponent(pair.slice(0, at));
    const value = decodeComponent(pair.slice(at + 1));
    if (FORBIDDEN_NAMES.has(name)) {
      throw wireError('INVALID_REQUEST', { detail: 'The form has a name that is not allowed.' });
    }
    if (repeatable.has(name)) {
      const list = Object.hasOwn(form, name) ? (form[name] as string[]) : [];
      form[name] = [...list, value];
    } else if (Object.hasOwn(form, name)) {
      throw wireError('INVALID_REQUEST', { detail: 'The form gives a name twice.' });
    } else {
      form[name] = value;
    }
  }
  return form;
}

function decodeComponent(text: string): string {
  if (!/^[\x21-\x7e]*$/.test(text)) {
    throw wireError('INVALID_REQUEST', { detail: 'The form is malformed.' });
  }
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (cause) {
    throw wireError('INVALID_REQUEST', { detail: 'The form is malformed.', cause });
  }
}

/** The media type of a content-type header; undefined when it has a parameter other than UTF-8. */
export function mediaType(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const match = /^([a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+)(?:\s*;\s*charset="?utf-8"?)?\s*$/i.exec(
    header,
  );
  return match?.[1]?.toLowerCase();
}
