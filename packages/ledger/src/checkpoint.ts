import { LedgerError } from './error.ts';
import { checkHash, HASH_BYTES } from './hash.ts';
import { type NoteSigner, type NoteVerifier, openNote, parseNote, signNote } from './note.ts';

/** The head of a log: which log, how many entries, the root of its tree. */
export type Checkpoint = {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
};

const SIZE = /^(0|[1-9][0-9]*)$/;

/** The three lines of a checkpoint. C2SP tlog-checkpoint v1, "Note text". */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  if (origin === '' || origin.includes('\n') || !Number.isSafeInteger(size) || size < 0) {
    throw new LedgerError('CHECKPOINT_MALFORMED', 'not a checkpoint', { origin, size });
  }
  return `${origin}\n${size}\n${Buffer.from(checkHash(root)).toString('base64')}\n`;
}

/**
 * Reads the text of a checkpoint. Extension lines are refused: nothing audits them, and an ML-DSA
 * cosignature doesn't cover them. Throws LedgerError `CHECKPOINT_MALFORMED`.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, end, ...rest] = text.split('\n');
  if (!origin || !size || !root || end !== '' || rest.length > 0) {
    throw new LedgerError('CHECKPOINT_MALFORMED', 'a checkpoint has three lines');
  }
  const bytes = Buffer.from(root, 'base64');
  if (
    !SIZE.test(size) ||
    !Number.isSafeInteger(Number(size)) ||
    bytes.length !== HASH_BYTES ||
    bytes.toString('base64') !== root
  ) {
    throw new LedgerError('CHECKPOINT_MALFORMED', 'a checkpoint is a size and a root hash');
  }
  return { origin, size: Number(size), root: bytes };
}

/** A checkpoint as a signed note. */
export function signCheckpoint(checkpoint: Checkpoint, signers: readonly NoteSigner[]): string {
  return signNote(formatCheckpoint(checkpoint), signers);
}

/**
 * The checkpoint of a signed note, after its signatures and its log's name are checked.
 * Does not check that it is newer than another one: see verifyConsistency.
 * Throws LedgerError `NOTE_…` of openNote, `CHECKPOINT_MALFORMED`, `CHECKPOINT_ORIGIN`.
 */
export function openCheckpoint(
  note: string,
  expected: { origin: string; verifiers: readonly NoteVerifier[] },
): Checkpoint {
  const { text } = openNote(note, expected.verifiers);
  const checkpoint = parseCheckpoint(text);
  if (checkpoint.origin !== expected.origin) {
    throw new LedgerError('CHECKPOINT_ORIGIN', 'the checkpoint is of another log', {
      origin: checkpoint.origin,
      expected: expected.origin,
    });
  }
  return checkpoint;
}

/** The checkpoint that a note claims to be, signatures unchecked: for messages, never for trust. */
export function peekCheckpoint(note: string): Checkpoint {
  return parseCheckpoint(parseNote(note).text);
}
