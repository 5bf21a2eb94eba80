import { readFileSync } from 'node:fs';
import { createSigner, type PrivateJwks, type Signer } from '@remit/bus';
import {
  conform,
  type JsonValue,
  parseJsonStrict,
  type TrustFile,
  trustFile,
} from '@remit/contracts';
import { ServiceError } from '../errors.ts';

/**
 * Reads a JSON file that the configuration names. Throws ServiceError `KEY_FILE_INVALID` with the
 * path and never with a word of its content.
 */
export function readJsonFile(path: string): JsonValue {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as { code?: string }).code ?? 'unreadable';
    throw new ServiceError('KEY_FILE_INVALID', `${path} cannot be read (${code}).`, { path });
  }
  try {
    return parseJsonStrict(text);
  } catch {
    throw new ServiceError('KEY_FILE_INVALID', `${path} is not acceptable JSON.`, { path });
  }
}

/** Reads a signer file, a private JWKS whose first key signs. Throws `KEY_FILE_INVALID`. */
export function readSigner(path: string): Signer {
  const value = readJsonFile(path);
  const keys = value && typeof value === 'object' && 'keys' in value ? value.keys : undefined;
  if (!Array.isArray(keys)) {
    throw new ServiceError('KEY_FILE_INVALID', `${path} is not a signer file.`, { path });
  }
  try {
    return createSigner({ keys } as unknown as PrivateJwks);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new ServiceError('KEY_FILE_INVALID', `${path} is not a signer file: ${why}.`, { path });
  }
}

/** Reads the trust file: whose signatures this process believes. Throws `KEY_FILE_INVALID`. */
export function readTrustFile(path: string): TrustFile {
  const value = readJsonFile(path);
  try {
    return conform(trustFile, value);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new ServiceError('KEY_FILE_INVALID', `${path} is not a trust file: ${why}.`, { path });
  }
}
