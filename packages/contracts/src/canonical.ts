import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { ContractError } from './error.ts';

/**
 * The canonical bytes of a JSON value (RFC 8785, JCS): what is hashed, signed and compared.
 * Throws ContractError `NOT_CANONICAL` for what JSON cannot hold (undefined, NaN, lone surrogates).
 */
export function canonicalBytes(value: unknown): Uint8Array {
  return Buffer.from(canonicalText(value), 'utf8');
}

/** {@link canonicalBytes} as text. */
export function canonicalText(value: unknown): string {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch (cause) {
    throw new ContractError('NOT_CANONICAL', 'value has no canonical form', {
      cause: String(cause),
    });
  }
  if (text === undefined || !text.isWellFormed()) {
    throw new ContractError('NOT_CANONICAL', 'value has no canonical form');
  }
  return text;
}

/** SHA-256 as unpadded base64url. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('base64url');
}

/** The digest that names a registry body: `sha256:` and the base64url SHA-256 of its text. */
export function bodyDigest(text: string): string {
  return `sha256:${sha256(text)}`;
}
