import { generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { PrivateJwk } from '@remit/agent';
import type { DevFile } from '@remit/contracts';
import { CliError } from '../error.ts';

/** What `remit dev token` leaves for `remit dev proof`: the key and the last token, in `.remit` (0600). */
export type DevMemory = { proofKey: PrivateJwk; token?: string };

const fileOf = (dev: DevFile) => join(dirname(dev.trust_file), 'dev-token.json');

export function recall(dev: DevFile): DevMemory {
  try {
    return JSON.parse(readFileSync(fileOf(dev), 'utf8')) as DevMemory;
  } catch {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = privateKey.export({ format: 'jwk' }) as JsonWebKey & Record<string, string>;
    return { proofKey: { ...jwk, alg: 'ES256' } };
  }
}

export function remember(dev: DevFile, memory: DevMemory): void {
  writeFileSync(fileOf(dev), JSON.stringify(memory), { mode: 0o600 });
}

/** The last token, or an explanation of how to get one. */
export function lastToken(memory: DevMemory): string {
  if (memory.token) return memory.token;
  throw new CliError(
    'NOT_FOUND',
    'There is no token yet. Run "npm run -s dev -- token USER TASK" first.',
  );
}
