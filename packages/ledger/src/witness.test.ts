import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signCheckpoint } from './checkpoint.ts';
import { cosignatureTime, ed25519Cosigner, mlDsa44Cosigner, noteVerifier } from './cosignature.ts';
import { edgeRoot } from './edge.ts';
import { openNote, parseNote } from './note.ts';
import { ed25519Signer, ed25519Verifier, verifierKey } from './note-keys.ts';
import { consistencyProof } from './prove.ts';
import { edgeOf, storeOf } from './tree.testing.ts';
import {
  type AddCheckpoint,
  cosign,
  cosignaturesOf,
  formatAddCheckpoint,
  judgeCheckpoint,
  parseAddCheckpoint,
} from './witness.ts';

const ORIGIN = 'log.test/acme';
const log = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519');
const logs = [{ origin: ORIGIN, verifiers: [ed25519Verifier(verifierKey(ORIGIN, log.publicKey))] }];
const entries = Array.from({ length: 12 }, (_, i) => Buffer.from(`entry ${i}`));
const headOf = (size: number, of = entries) => ({
  origin: ORIGIN,
  size,
  root: edgeRoot(edgeOf(of.slice(0, size))),
});
const noteOf = (size: number, of = entries, key = log.privateKey) =>
  signCheckpoint(headOf(size, of), [ed25519Signer(ORIGIN, key)]);
async function request(oldSize: number, size: number, of = entries): Promise<AddCheckpoint> {
  const proof = await consistencyProof(storeOf(of.slice(0, size)), oldSize, size);
  return { oldSize, proof, note: noteOf(size, of) };
}

describe('the request of a log to its witness', () => {
  it('is read as it was written, also with no and with many proof lines', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(fc.nat(), fc.array(hash, { maxLength: 63 }), (oldSize, proof) => {
        const note = noteOf(3);
        const read = parseAddCheckpoint(formatAddCheckpoint({ oldSize, proof, note }));
        expect(read.oldSize).toBe(oldSize);
        expect(read.note).toBe(note);
        expect(read.proof.map((one) => Buffer.from(one))).toEqual(proof.map((p) => Buffer.from(p)));
      }),
    );
  });

  it('is refused when its first line, a proof line or their number is wrong', () => {
    const line = Buffer.alloc(32).toString('base64');
    const rest = `\n${noteOf(3)}`;
    for (const body of [
      '',
      noteOf(3),
      `old\n${rest}`,
      `old 01\n${rest}`,
      `old -1\n${rest}`,
      `old 1e3\n${rest}`,
      `old 0\r\n${rest}`,
      `old 0\nAAAA\n${rest}`,
      `old 0\n${line} \n${rest}`,
      `old 0\n${`${line}\n`.repeat(64)}${rest}`,
    ]) {
      expect(() => parseAddCheckpoint(body), JSON.stringify(body.slice(0, 40))).toThrow(
        expect.objectContaining({ code: 'NOTE_MALFORMED' }),
      );
    }
  });
});

describe('a witness', () => {
  it('accepts every checkpoint that extends the one it cosigned, and the same again', async () => {
    expect(judgeCheckpoint(await request(0, 5), logs, undefined)).toEqual({ accepted: headOf(5) });
    for (const [from, to] of [
      [5, 5],
      [5, 8],
      [8, 12],
      [1, 2],
      [4, 12],
    ] as const) {
      const verdict = judgeCheckpoint(await request(from, to), logs, headOf(from));
      expect(verdict, `${from} to ${to}`).toEqual({ accepted: headOf(to) });
    }
  });

  it('refuses to go back, whatever the log says, and tells the size it knows', async () => {
    const known = headOf(8);
    for (const [from, to] of [
      [0, 5],
      [5, 8],
      [5, 12],
      [0, 12],
    ] as const) {
      const verdict = judgeCheckpoint(await request(from, to), logs, known);
      expect(verdict, `${from} to ${to}`).toMatchObject({ status: 409, size: 8 });
    }
    const larger = { ...(await request(0, 5)), oldSize: 8 };
    expect(judgeCheckpoint(larger, logs, known)).toMatchObject({ status: 400 });
  });

  it('refuses another history of the same or a larger size', async () => {
    const forked = entries.with(2, Buffer.from('rewritten'));
    const same = await request(8, 8, forked);
    expect(judgeCheckpoint(same, logs, headOf(8))).toMatchObject({ status: 409, size: 8 });
    const longer = await request(8, 12, forked);
    expect(judgeCheckpoint(longer, logs, headOf(8))).toMatchObject({ status: 422 });
    const unproven = { ...(await request(8, 12)), proof: [] };
    expect(judgeCheckpoint(unproven, logs, headOf(8))).toMatchObject({ status: 422 });
  });

  it('knows neither other logs nor other keys, and wants no proof from nothing', async () => {
    const other = [{ ...logs[0], origin: 'log.test/globex', verifiers: [] }];
    expect(judgeCheckpoint(await request(0, 5), other, undefined)).toMatchObject({ status: 404 });
    const forged = { oldSize: 0, proof: [], note: noteOf(5, entries, stranger.privateKey) };
    expect(judgeCheckpoint(forged, logs, undefined)).toMatchObject({ status: 403 });
    const padded = { ...(await request(0, 5)), proof: [Buffer.alloc(32)] };
    expect(judgeCheckpoint(padded, logs, undefined)).toMatchObject({ status: 422 });
  });
});

describe('a cosignature', () => {
  const name = 'witness.test/w1';
  for (const [kind, pair, make] of [
    ['Ed25519', generateKeyPairSync('ed25519'), ed25519Cosigner],
    ['ML-DSA-44', generateKeyPairSync('ml-dsa-44'), mlDsa44Cosigner],
  ] as const) {
    it(`by ${kind} is of this checkpoint, this cosigner and its time`, () => {
      const lines = cosign(headOf(5), [make(name, pair.privateKey, () => 1_700_000_000)]);
      const key = noteVerifier(verifierKey(name, pair.publicKey, { cosigner: true }));
      const kept = cosignaturesOf(noteOf(5), lines, [key]);
      expect(kept).toBe(lines);
      const [signature] = parseNote(`x\n\n${lines}`).signatures;
      expect(cosignatureTime(signature?.signature ?? Buffer.alloc(8))).toBe(1_700_000_000);
      expect(openNote(noteOf(5) + lines, [key]).signedBy).toEqual([key]);
      expect(() => cosignaturesOf(noteOf(6), lines, [key])).toThrow(
        expect.objectContaining({ code: 'NOTE_SIGNATURE_INVALID' }),
      );
      expect(() => cosignaturesOf(noteOf(5), lines, [])).toThrow(
        expect.objectContaining({ code: 'NOTE_UNSIGNED' }),
      );
      expect(key.verify('x\n', Buffer.alloc(3))).toBe(false);
    });
  }
});
