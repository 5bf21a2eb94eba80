import { verifyConsistency } from './check-proof.ts';
import { type Checkpoint, formatCheckpoint, openCheckpoint, peekCheckpoint } from './checkpoint.ts';
import { LedgerError } from './error.ts';
import { HASH_BYTES, sameHash } from './hash.ts';
import { formatNote, type NoteSigner, type NoteVerifier, parseNote } from './note.ts';

/** What a log asks of a witness: to cosign a checkpoint that extends the one of `oldSize` entries. */
export type AddCheckpoint = {
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  readonly note: string;
};

/** A log that a witness knows: the keys that its checkpoints must be signed with. */
export type WitnessedLog = {
  readonly origin: string;
  readonly verifiers: readonly NoteVerifier[];
};

/** `size` goes into the answer's body where the specification asks for it. */
export type WitnessRefusal = {
  readonly status: 400 | 403 | 404 | 409 | 422;
  readonly size?: number;
  readonly detail: string;
};
export type WitnessVerdict = { readonly accepted: Checkpoint } | WitnessRefusal;

const MAX_PROOF_LINES = 63;
const OLD_SIZE = /^old (0|[1-9][0-9]{0,15})$/;

/** The body of `add-checkpoint`. C2SP tlog-witness v1. */
export function formatAddCheckpoint({ oldSize, proof, note }: AddCheckpoint): string {
  const lines = proof.map((hash) => `${Buffer.from(hash).toString('base64')}\n`);
  return `old ${oldSize}\n${lines.join('')}\n${note}`;
}

/** The inverse of {@link formatAddCheckpoint}. Throws LedgerError `NOTE_MALFORMED`. */
export function parseAddCheckpoint(body: string): AddCheckpoint {
  const end = body.indexOf('\n\n');
  const [old = '', ...lines] = body.slice(0, Math.max(end, 0)).split('\n');
  const size = Number(OLD_SIZE.exec(old)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(size) || lines.length > MAX_PROOF_LINES) throw malformed();
  const proof = lines.map((line) => {
    const hash = Buffer.from(line, 'base64');
    if (hash.length !== HASH_BYTES || hash.toString('base64') !== line) throw malformed();
    return hash;
  });
  return { oldSize: size, proof, note: body.slice(end + 2) };
}

/**
 * Judges a request as a witness does that has cosigned `known` of this log before, if anything: the
 * log is one of `logs`, its key signed, the new tree begins with the known one. A witness never goes
 * back, so what it accepts must be kept, and kept alone, before anybody is told: the caller holds a
 * lock from reading `known` on. Throws LedgerError `NOTE_MALFORMED`, `CHECKPOINT_MALFORMED`.
 * C2SP tlog-witness v1, "add-checkpoint".
 */
export function judgeCheckpoint(
  request: AddCheckpoint,
  logs: readonly WitnessedLog[],
  known: Checkpoint | undefined,
): WitnessVerdict {
  const { oldSize, proof, note } = request;
  const { origin } = peekCheckpoint(note);
  const log = logs.find((each) => each.origin === origin);
  if (log === undefined) return { status: 404, detail: 'the log is not known here' };
  let checkpoint: Checkpoint;
  try {
    checkpoint = openCheckpoint(note, log);
  } catch (error) {
    if (error instanceof LedgerError && /^NOTE_(UNSIGNED|SIGNATURE)/.test(error.code)) {
      return { status: 403, detail: 'no key of the log signed the checkpoint' };
    }
    throw error;
  }
  const { size, root } = checkpoint;
  if (oldSize > size) return { status: 400, detail: 'the old size is larger than the checkpoint' };
  const knownSize = known?.size ?? 0;
  if (oldSize !== knownSize) {
    return { status: 409, size: knownSize, detail: 'another size was cosigned last' };
  }
  if (size === knownSize && known !== undefined) {
    if (!sameHash(root, known.root)) {
      return { status: 409, size: knownSize, detail: 'another root was cosigned for this size' };
    }
  }
  const oldRoot = known?.root ?? root;
  const extended = verifyConsistency({
    oldSize,
    oldRoot,
    newSize: size,
    newRoot: root,
    proof,
  });
  // The empty tree begins every tree; of a size that stays, the root was compared.
  const trivial = (oldSize === 0 || oldSize === size) && proof.length === 0;
  if (!extended && !trivial) {
    return { status: 422, detail: 'the checkpoint does not extend the one cosigned before' };
  }
  return { accepted: checkpoint };
}

/** The signature lines by which cosigners answer. */
export function cosign(checkpoint: Checkpoint, signers: readonly NoteSigner[]): string {
  const text = formatCheckpoint(checkpoint);
  const signatures = signers.map(({ name, keyId, sign }) => ({
    name,
    keyId,
    signature: sign(text),
  }));
  return formatNote({ text, signatures }).slice(text.length + 1);
}

/**
 * The signatures of an answer that the cosigner's known keys made; others are left out. Throws
 * LedgerError `NOTE_…` when none is there or one of a known key fails.
 */
export function cosignaturesOf(
  note: string,
  lines: string,
  verifiers: readonly NoteVerifier[],
): string {
  const { text } = parseNote(note);
  const answer = parseNote(`${text}\n${lines}`);
  const good = answer.signatures.filter(({ name, keyId, signature }) => {
    const key = verifiers.find((each) => each.name === name && each.keyId === keyId);
    if (key === undefined) return false;
    if (key.verify(text, signature)) return true;
    throw new LedgerError('NOTE_SIGNATURE_INVALID', 'a cosignature does not verify', { name });
  });
  if (good.length === 0) throw new LedgerError('NOTE_UNSIGNED', 'no known cosigner answered');
  return formatNote({ text, signatures: good }).slice(text.length + 1);
}

function malformed(): LedgerError {
  return new LedgerError('NOTE_MALFORMED', 'not a request to add a checkpoint');
}
