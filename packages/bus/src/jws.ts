import { BusError } from './error.ts';

const BASE64URL = /^[A-Za-z0-9_-]+$/;

/**
 * Decodes unpadded base64url, one spelling per value only: no other alphabet, padding or stray bits.
 * Returns undefined for everything else.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  if (!BASE64URL.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

export type CompactJws = {
  header: string;
  payload: string;
  signature: string;
  signingInput: string;
};

/** Splits a compact JWS in its three parts (RFC 7515 section 7.1) without reading them. */
export function splitCompact(jws: string): CompactJws {
  const first = jws.indexOf('.');
  const second = jws.indexOf('.', first + 1);
  if (first <= 0 || second <= first + 1 || jws.indexOf('.', second + 1) !== -1) {
    throw new BusError('EVENT_SIGNATURE_INVALID', 'not a compact JWS');
  }
  return {
    header: jws.slice(0, first),
    payload: jws.slice(first + 1, second),
    signature: jws.slice(second + 1),
    signingInput: jws.slice(0, second),
  };
}
