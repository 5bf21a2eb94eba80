import { ContractError } from './error.ts';

const TENANT = /^[a-z0-9][a-z0-9-]{0,30}$/;
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const PLAIN_BYTE = /^[a-z0-9-]$/;
const MAX_ENCODED = 255;

/** Checks a tenant id: `[a-z0-9][a-z0-9-]{0,30}`. Throws ContractError `ID_INVALID`. */
export function tenantId(value: string): string {
  if (!TENANT.test(value)) throw new ContractError('ID_INVALID', 'not a tenant id', { value });
  return value;
}

/** Checks the name of a service, a PEP or a NATS user: `[a-z0-9][a-z0-9-]{0,62}`. */
export function nodeName(value: string): string {
  if (!NAME.test(value)) throw new ContractError('ID_INVALID', 'not a node name', { value });
  return value;
}

/**
 * Encodes any id as one subject token over `[a-z0-9_-]`: bytes of `[a-z0-9-]` stand for
 * themselves, every other UTF-8 byte becomes `_` and two hex digits. Injective, so two ids never
 * share a subject; ids are case-sensitive and the alphabet is not.
 * Throws ContractError `ID_INVALID` for an empty, ill-formed or too long id.
 */
export function encodeSubjectToken(id: string): string {
  if (id === '' || !id.isWellFormed())
    throw new ContractError('ID_INVALID', 'id is empty or not well-formed');
  let out = '';
  for (const byte of Buffer.from(id, 'utf8')) {
    const char = String.fromCharCode(byte);
    out += PLAIN_BYTE.test(char) ? char : `_${byte.toString(16).padStart(2, '0')}`;
  }
  if (out.length > MAX_ENCODED)
    throw new ContractError('ID_INVALID', 'id is too long for a subject');
  return out;
}

/** The inverse of {@link encodeSubjectToken}. Refuses every text that the encoder cannot produce. */
export function decodeSubjectToken(token: string): string {
  const bytes: number[] = [];
  for (let i = 0; i < token.length; i++) {
    const char = token[i] as string;
    if (PLAIN_BYTE.test(char)) {
      bytes.push(char.charCodeAt(0));
      continue;
    }
    const hex = token.slice(i + 1, i + 3);
    if (char !== '_' || !/^[0-9a-f]{2}$/.test(hex)) {
      throw new ContractError('ID_INVALID', 'not an encoded id', { token });
    }
    bytes.push(Number.parseInt(hex, 16));
    i += 2;
  }
  const id = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true }).decode(
    Uint8Array.from(bytes),
  );
  if (id === '' || encodeSubjectToken(id) !== token) {
    throw new ContractError('ID_INVALID', 'not an encoded id', { token });
  }
  return id;
}
