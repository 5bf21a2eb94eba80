import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import {
  ed25519Cosigner,
  formatVkey,
  mlDsa44Cosigner,
  type NoteSigner,
  noteVerifier,
  parseVkey,
  verifierKey,
  type WitnessedLog,
} from '@remit/ledger';
import { CliError } from '../error.ts';
import { openWitnessState } from './state.ts';
import { createWitness } from './witness.ts';

export type WitnessOptions = {
  /** The witness's name, a URL without its scheme. */
  name: string;
  /** Its private keys; made when the file is missing. */
  key: string;
  /** Verifier keys of the logs, one per line; a key's name is its log. */
  logs: string;
  /** Where it remembers. */
  state: string;
  host: string;
  port: number;
};

/**
 * Runs a witness until `signal` aborts. Says first how it is called and what its verifier keys are:
 * that is what auditors and the log are given. Throws CliError `USAGE`.
 */
export async function runWitness(
  options: WitnessOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const keys = readKeys(options.key);
  const now = (): number => Math.floor(Date.now() / 1_000);
  const signers = keys.map((key): NoteSigner => {
    return key.asymmetricKeyType === 'ed25519'
      ? ed25519Cosigner(options.name, key, now)
      : mlDsa44Cosigner(options.name, key, now);
  });
  const state = await openWitnessState(options.state);
  const onAnswer = (status: number, detail: string): void => say(`${status} ${detail}`);
  const server = createWitness({ logs: readLogs(options.logs), signers, state, onAnswer });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  for (const key of keys) {
    say(formatVkey(verifierKey(options.name, createPublicKey(key), { cosigner: true })));
  }
  say(`witness at http://${options.host}:${port}/add-checkpoint`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

function readLogs(file: string): WitnessedLog[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    const keys = lines.filter((line) => line !== '' && !line.startsWith('#')).map(parseVkey);
    return [...Map.groupBy(keys, ({ name }) => name)].map(([origin, own]) => ({
      origin,
      verifiers: own.map(noteVerifier),
    }));
  } catch (cause) {
    throw new CliError('USAGE', `${file} is no list of verifier keys of logs.`, { cause });
  }
}

/** An Ed25519 key, which every reader of cosignatures knows, and an ML-DSA-44 key. */
function readKeys(file: string): KeyObject[] {
  if (!existsSync(file)) {
    const made = [generateKeyPairSync('ed25519'), generateKeyPairSync('ml-dsa-44')];
    const jwks = made.map(({ privateKey }) => privateKey.export({ format: 'jwk' }));
    writeFileSync(file, `${JSON.stringify({ keys: jwks })}\n`, { mode: 0o600, flag: 'wx' });
  }
  try {
    const { keys } = JSON.parse(readFileSync(file, 'utf8')) as { keys: object[] };
    return keys.map((key) => createPrivateKey({ key: key as never, format: 'jwk' }));
  } catch {
    // The cause could hold a part of the key.
    throw new CliError('USAGE', `${file} holds no keys of a witness.`);
  }
}
