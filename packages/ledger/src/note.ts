import { LedgerError } from './error.ts';

/** One signature line of a note: who signed (name and key id) and the bytes. */
export type NoteSignature = {
  readonly name: string;
  /** uint32 */
  readonly keyId: number;
  readonly signature: Uint8Array;
};

export type Note = { readonly text: string; readonly signatures: readonly NoteSignature[] };

/** Signs the text of a note, which ends in a newline. */
export type NoteSigner = {
  readonly name: string;
  readonly keyId: number;
  sign(text: string): Uint8Array;
};

/** Knows one key by name and id; `verify` says whether its signature of a text is right. */
export type NoteVerifier = {
  readonly name: string;
  readonly keyId: number;
  verify(text: string, signature: Uint8Array): boolean;
};

/** Signature lines that a note may have; the format asks for 16 at least. */
const MAX_SIGNATURES = 64;
const MAX_NOTE_CHARS = 512 * 1024;
const KEY_ID_BYTES = 4;
const SIGNATURE_LINE = /^\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})$/;

/** Whether a text can be the name of a key: not empty, no Unicode space, no plus. */
export function isKeyName(name: string): boolean {
  return /^[^\s\u0085+]+$/u.test(name) && name.isWellFormed() && !hasControl(name);
}

/**
 * Signs a text: text, blank line, one line per signer. Throws LedgerError `NOTE_MALFORMED` for a
 * text that the format can't hold (no final newline, a control character, not well-formed).
 * C2SP signed-note v1.
 */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  checkText(text);
  if (signers.length === 0) malformed('a note has at least one signature');
  return formatNote({
    text,
    signatures: signers.map(({ name, keyId, sign }) => ({ name, keyId, signature: sign(text) })),
  });
}

/** A note as text. The inverse of {@link parseNote}. */
export function formatNote(note: Note): string {
  const lines = note.signatures.map(({ name, keyId, signature }) => {
    if (!isKeyName(name)) throw new LedgerError('NOTE_MALFORMED', 'not a key name', { name });
    const id = Buffer.alloc(KEY_ID_BYTES);
    id.writeUInt32BE(keyId);
    return `\u2014 ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
  });
  return `${note.text}\n${lines.join('')}`;
}

/**
 * Reads a note. Does not check any signature: see {@link openNote}.
 * Throws LedgerError `NOTE_MALFORMED`. C2SP signed-note v1, "Format".
 */
export function parseNote(note: string): Note {
  if (note.length > MAX_NOTE_CHARS) malformed('a note is at most 512 KiB');
  if (hasControl(note) || !note.isWellFormed()) malformed('a note holds no control character');
  // The text may have empty lines of its own: the last one is where the signatures begin.
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) malformed('a note is a text, a blank line and signatures');
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) malformed('a note has at most 64 signatures');
  return { text, signatures: lines.map(parseLine) };
}

function parseLine(line: string): NoteSignature {
  const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
  if (name === undefined || encoded === undefined || !isKeyName(name)) {
    malformed('a signature line is a dash, a key name and base64');
  }
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.toString('base64') !== encoded || bytes.length <= KEY_ID_BYTES) {
    malformed('a signature is base64 of a key id and bytes');
  }
  return { name, keyId: bytes.readUInt32BE(), signature: bytes.subarray(KEY_ID_BYTES) };
}

/**
 * The text of a note and who signed it. Signatures of unknown keys are ignored; one of a known key
 * that fails rejects the whole note, and so does a note with none of a known key.
 * Throws LedgerError `NOTE_MALFORMED`, `NOTE_SIGNATURE_INVALID`, `NOTE_UNSIGNED`.
 * C2SP signed-note v1, "Signatures".
 */
export function openNote(
  note: string,
  verifiers: readonly NoteVerifier[],
): { text: string; signedBy: readonly NoteVerifier[] } {
  const { text, signatures } = parseNote(note);
  const signedBy: NoteVerifier[] = [];
  for (const { name, keyId, signature } of signatures) {
    const known = verifiers.find((key) => key.name === name && key.keyId === keyId);
    if (known === undefined || signedBy.includes(known)) continue;
    if (!known.verify(text, signature)) {
      throw new LedgerError('NOTE_SIGNATURE_INVALID', "a known key's signature does not verify", {
        name,
        keyId,
      });
    }
    signedBy.push(known);
  }
  if (signedBy.length === 0) {
    throw new LedgerError('NOTE_UNSIGNED', 'no known key signed the note');
  }
  return { text, signedBy };
}

function checkText(text: string): void {
  if (!text.endsWith('\n') || hasControl(text) || !text.isWellFormed()) {
    malformed("a note's text ends in a newline and holds no other control character");
  }
}

/** ASCII control characters but the newline. */
function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 && unit !== 0x0a) return true;
  }
  return false;
}

function malformed(message: string): never {
  throw new LedgerError('NOTE_MALFORMED', message);
}
