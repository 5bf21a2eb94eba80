import { parseJsonStrict } from '@remit/contracts';
import { TokenError, type TokenErrorCode } from './errors.ts';

export type JsonRecord = Readonly<Record<string, unknown>>;

/** A compact JWS, decoded but not verified. */
export interface CompactJws {
  readonly header: JsonRecord;
  /** The text before the second dot: what is signed. */
  readonly signed: string;
  readonly payload: string;
  readonly signature: Uint8Array;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function encodePart(part: string | Uint8Array): string {
  return Buffer.from(part as string).toString('base64url');
}

export function encodeJson(value: object): string {
  return encodePart(JSON.stringify(value));
}

/** Strict base64url (RFC 7515 appendix C): its alphabet, no padding, no stray bits at the end. */
function decodePart(text: string, code: TokenErrorCode): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw new TokenError(code, 'not strict base64url');
  return bytes;
}

/** A JSON object read one way only: UTF-8 without BOM, no duplicate names, at most `maxDepth` deep. */
export function decodeObject(part: string, maxDepth: number, code: TokenErrorCode): JsonRecord {
  let value: unknown;
  try {
    value = parseJsonStrict(UTF8.decode(decodePart(part, code)), { maxDepth });
  } catch (cause) {
    throw new TokenError(code, 'a part is not strict JSON', {}, { cause });
  }
  if (!isRecord(value)) throw new TokenError(code, 'a part is not a JSON object');
  return value;
}

/** Splits a compact JWS and reads its header. Size and form are checked before anything is decoded. */
export function readCompact(
  text: string,
  limits: { maxLength: number; tooLarge: TokenErrorCode; malformed: TokenErrorCode },
): CompactJws {
  if (typeof text !== 'string') throw new TokenError(limits.malformed, 'not a compact JWS');
  if (text.length > limits.maxLength) {
    throw new TokenError(limits.tooLarge, `longer than ${limits.maxLength} characters`);
  }
  const parts = text.split('.', 4);
  const [header, payload, signature] = parts;
  if (parts.length !== 3 || !header || payload === undefined || signature === undefined) {
    throw new TokenError(limits.malformed, 'not three parts');
  }
  return {
    header: decodeObject(header, 3, limits.malformed),
    signed: `${header}.${payload}`,
    payload,
    signature: decodePart(signature, limits.malformed),
  };
}

/** Whether `typ` is the given media type: compared without case and without `application/`. */
export function isTyp(value: unknown, expected: string): boolean {
  if (typeof value !== 'string') return false;
  const lower = value.toLowerCase();
  return lower === expected || lower === `application/${expected}`;
}
