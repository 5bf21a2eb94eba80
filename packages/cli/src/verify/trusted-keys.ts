import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { conform, parseJsonStrict, trustFile } from '@remit/contracts';
import {
  type NoteVerifier,
  noteVerifier,
  parseVkey,
  type VerifierKey,
  verifierKey,
} from '@remit/ledger';
import { CliError } from '../error.ts';

/** Who may have signed a log's checkpoints, by the kind of their keys: each kind must have signed. */
export type TrustedKeys = {
  readonly verifiers: readonly NoteVerifier[];
  readonly required: readonly (readonly NoteVerifier[])[];
};

/**
 * Reads whom to believe about a log: a trust file, or verifier keys (vkeys) one per line, in which
 * those of witnesses may stand too. Of the log's own keys one of each kind must have signed; a witness
 * must have signed when `witnesses` is set. Throws CliError `USAGE`.
 */
export function readTrustedKeys(
  file: string,
  origin: string,
  { witnesses = false } = {},
): TrustedKeys {
  const keys = readKeys(file, origin);
  const own = keys.filter(({ name }) => name === origin);
  if (own.length === 0) throw new CliError('USAGE', `${file} names no key of the log ${origin}.`);
  const groups = Map.groupBy(own, ({ type }) => type).values();
  const others = keys.filter(({ name }) => name !== origin);
  if (witnesses && others.length === 0) {
    throw new CliError('USAGE', `${file} names no witness.`);
  }
  const made = new Map(keys.map((key) => [key, noteVerifier(key)]));
  const verifiersOf = (list: readonly VerifierKey[]): NoteVerifier[] =>
    list.map((key) => made.get(key) as NoteVerifier);
  return {
    verifiers: verifiersOf(keys),
    required: [...[...groups].map(verifiersOf), ...(witnesses ? [verifiersOf(others)] : [])],
  };
}

function readKeys(file: string, origin: string): VerifierKey[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CliError('USAGE', `${file} cannot be read.`, { cause });
  }
  try {
    if (!text.trimStart().startsWith('{')) return text.split('\n').filter(isKeyLine).map(parseVkey);
    const trust = conform(trustFile, parseJsonStrict(text));
    if (!origin.startsWith(`${trust.checkpoint_origin}/`)) return [];
    return trust.keys.checkpoint.map((key) =>
      verifierKey(origin, createPublicKey({ key, format: 'jwk' })),
    );
  } catch (cause) {
    throw new CliError('USAGE', `${file} is neither a trust file nor a list of verifier keys.`, {
      cause,
    });
  }
}

function isKeyLine(line: string): boolean {
  return line !== '' && !line.startsWith('#');
}
