import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  peekCheckpoint,
  signCheckpoint,
} from './checkpoint.ts';
import { cosignatureTime, mlDsa44Cosigner, mlDsa44Verifier } from './cosignature.ts';
import { emptyRoot } from './hash.ts';
import { formatNote, openNote, parseNote, signNote } from './note.ts';
import {
  ed25519Signer,
  ed25519Verifier,
  formatVkey,
  noteKeyId,
  parseVkey,
  verifierKey,
} from './note-keys.ts';

// The key and the note that the tests of Go's checksum database publish.
const NEUMANN = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const NEUMANN_NOTE =
  'If you think cryptography is the answer to your problem,\n' +
  "then you don't know what your problem is.\n" +
  '\n' +
  '\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
// The verifier key that the signed-note specification prints.
const SPEC_VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';

const ORIGIN = 'audit.example/acme';
const ed = generateKeyPairSync('ed25519');
const pq = generateKeyPairSync('ml-dsa-44');
const signer = ed25519Signer(ORIGIN, ed.privateKey);
const verifier = ed25519Verifier(verifierKey(ORIGIN, ed.publicKey));
const cosigner = mlDsa44Cosigner(ORIGIN, pq.privateKey, () => 1_700_000_000);
const coverifier = mlDsa44Verifier(verifierKey(ORIGIN, pq.publicKey));
const code = (value: string) => expect.objectContaining({ code: value });

describe('a verifier key', () => {
  it('reads as the specification prints it, and is written the same', () => {
    const key = parseVkey(SPEC_VKEY);
    expect(key.name).toBe('example.com/foo');
    expect(key.keyId).toBe(0x530d903a);
    expect(key.type).toBe(1);
    expect(formatVkey(key)).toBe(SPEC_VKEY);
    expect(noteKeyId(key.name, 1, key.publicKey)).toBe(0x530d903a);
  });

  it('round-trips for both kinds of key', () => {
    for (const key of [ed.publicKey, pq.publicKey]) {
      const vkey = verifierKey(ORIGIN, key);
      expect(parseVkey(formatVkey(vkey))).toEqual(vkey);
    }
    expect(verifierKey(ORIGIN, ed.privateKey)).toEqual(verifierKey(ORIGIN, ed.publicKey));
  });

  it('is refused when its id, key or name is another one', () => {
    for (const bad of [
      '',
      'example.com/foo',
      SPEC_VKEY.replace('530d903a', '530d903b'),
      SPEC_VKEY.replace('example.com/foo', 'example.com/fooo'),
      SPEC_VKEY.replace('example.com/foo', 'example com'),
      SPEC_VKEY.replace('U2k', 'U2l'),
      `${SPEC_VKEY}=`,
    ]) {
      expect(() => parseVkey(bad), bad).toThrow(code('VKEY_MALFORMED'));
    }
    const ecdsa = SPEC_VKEY.replace('+Aeky', '+Aukyz').replace(/.$/, '');
    expect(() => parseVkey(ecdsa)).toThrow(code('KEY_UNSUPPORTED'));
    const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(() => verifierKey(ORIGIN, p256.publicKey)).toThrow(code('KEY_UNSUPPORTED'));
    expect(() => ed25519Signer(ORIGIN, pq.privateKey)).toThrow(code('KEY_UNSUPPORTED'));
    expect(() => ed25519Signer('a name', ed.privateKey)).toThrow(code('VKEY_MALFORMED'));
  });
});

describe('a signed note', () => {
  it('verifies as published', () => {
    const known = ed25519Verifier(parseVkey(NEUMANN));
    const { text, signedBy } = openNote(NEUMANN_NOTE, [known]);
    expect(text).toBe(NEUMANN_NOTE.split('\n\n')[0] + '\n');
    expect(signedBy).toEqual([known]);
    expect(formatNote(parseNote(NEUMANN_NOTE))).toBe(NEUMANN_NOTE);
  });

  it('rejects a known signature that fails, and one by nobody known', () => {
    const known = ed25519Verifier(parseVkey(NEUMANN));
    const changed = NEUMANN_NOTE.replace('answer', 'enigma');
    expect(() => openNote(changed, [known])).toThrow(
      expect.objectContaining({
        code: 'NOTE_SIGNATURE_INVALID',
        message: "a known key's signature does not verify",
      }),
    );
    expect(() => openNote(NEUMANN_NOTE, [verifier])).toThrow(code('NOTE_UNSIGNED'));
    expect(() => openNote(NEUMANN_NOTE, [])).toThrow(code('NOTE_UNSIGNED'));
  });

  it('ignores 15 unknown signatures beside a known one, but not a known one that fails', () => {
    const strangers = Array.from({ length: 15 }, (_, i) =>
      ed25519Signer(`stranger-${i}.example`, generateKeyPairSync('ed25519').privateKey),
    );
    const note = signNote('hello\n', [...strangers, signer]);
    expect(openNote(note, [verifier]).signedBy).toEqual([verifier]);
    const forged = formatNote({
      ...parseNote(note),
      signatures: parseNote(note).signatures.map((line, i) =>
        i === 3 ? { name: ORIGIN, keyId: signer.keyId, signature: Buffer.alloc(64) } : line,
      ),
    });
    expect(() => openNote(forged, [verifier])).toThrow(code('NOTE_SIGNATURE_INVALID'));
  });

  it('ignores a signature that shares only the name or only the id with a known key', () => {
    const [line] = parseNote(signNote('hello\n', [signer])).signatures;
    if (!line) throw new Error('the note has a signature');
    const named = { text: 'hello\n', signatures: [{ ...line, keyId: (line.keyId ^ 1) >>> 0 }] };
    const numbered = { text: 'hello\n', signatures: [{ ...line, name: 'other.example' }] };
    for (const note of [named, numbered]) {
      expect(() => openNote(formatNote(note), [verifier])).toThrow(code('NOTE_UNSIGNED'));
    }
  });

  it('comes back whole, whatever its text', () => {
    const line = fc
      .string({ unit: 'grapheme', maxLength: 12 })
      .map((s) => s.replace(/\p{Cc}/gu, ''));
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 6 }), (lines) => {
        const text = `${lines.join('\n')}\n`;
        expect(openNote(signNote(text, [signer]), [verifier]).text).toBe(text);
      }),
      { numRuns: 50 },
    );
  });

  it('is refused when it is not exactly of the format', () => {
    const good = signNote('hello\n', [signer]);
    for (const bad of [
      '',
      'hello\n',
      'hello\n\n',
      good.slice(0, -1),
      `${good}\n`,
      good.replace('hello', 'he\rllo'),
      good.replace('hello', 'he\u0000llo'),
      good.replace('\u2014', '-'),
      good.replace('\u2014 ', '\u2014'),
      good.replace(ORIGIN, 'two words'),
      good.replace(/=\n$/, '\n'),
      `hello\n\n${`${good.split('\n')[2]}\n`.repeat(65)}`,
    ]) {
      expect(() => openNote(bad, [verifier]), JSON.stringify(bad)).toThrow(code('NOTE_MALFORMED'));
    }
    expect(() => signNote('no newline', [signer])).toThrow(code('NOTE_MALFORMED'));
    expect(() => signNote('hello\n', [])).toThrow(code('NOTE_MALFORMED'));
    expect(() => signNote('a\tb\n', [signer])).toThrow(code('NOTE_MALFORMED'));
  });
});

describe('a checkpoint', () => {
  const head = { origin: ORIGIN, size: 42, root: emptyRoot() };
  const expected = { origin: ORIGIN, verifiers: [verifier, coverifier] };

  it('is three lines under the signatures of the log', () => {
    expect(formatCheckpoint(head)).toBe(
      'audit.example/acme\n42\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n',
    );
    const note = signCheckpoint(head, [signer, cosigner]);
    expect(openCheckpoint(note, expected)).toEqual(head);
    expect(peekCheckpoint(note)).toEqual(head);
    expect(openNote(note, expected.verifiers).signedBy).toEqual([verifier, coverifier]);
  });

  it('of another log is refused', () => {
    const other = signCheckpoint({ ...head, origin: 'audit.example/globex' }, [signer]);
    expect(() => openCheckpoint(other, expected)).toThrow(
      expect.objectContaining({
        code: 'CHECKPOINT_ORIGIN',
        message: 'the checkpoint is of another log',
      }),
    );
  });

  it('carries a cosignature over time, log, size and root, in the published layout', () => {
    const note = parseNote(signCheckpoint(head, [cosigner]));
    const signature = note.signatures[0]?.signature ?? Buffer.alloc(0);
    expect(signature.length).toBe(8 + 2_420);
    expect(cosignatureTime(signature)).toBe(1_700_000_000);
    expect(coverifier.verify(note.text, signature)).toBe(true);
    const later = Buffer.from(signature);
    later[7] = (later[7] ?? 0) ^ 1;
    expect(coverifier.verify(note.text, later)).toBe(false);
    expect(coverifier.verify(formatCheckpoint({ ...head, size: 43 }), signature)).toBe(false);
    expect(coverifier.verify(note.text, signature.subarray(8))).toBe(false);
    const renamed = mlDsa44Verifier(verifierKey('witness.example', pq.publicKey));
    expect(renamed.verify(note.text, signature)).toBe(false);
  });

  it('is refused when a line is missing, extra or not canonical', () => {
    const good = formatCheckpoint(head);
    for (const bad of [
      '',
      good.slice(0, -1),
      `${good}extension\n`,
      good.replace('42', '042'),
      good.replace('42', '-1'),
      good.replace('42', '4.2'),
      good.replace('42', '99999999999999999999'),
      good.replace('47DE', '47D'),
      good.replace('uFU=', 'uFV='),
      `\n${good}`,
    ]) {
      expect(() => parseCheckpoint(bad), bad).toThrow(code('CHECKPOINT_MALFORMED'));
    }
    for (const bad of [{ size: -1 }, { size: 1.5 }, { origin: '' }, { origin: 'a\nb' }]) {
      expect(() => formatCheckpoint({ ...head, ...bad })).toThrow(code('CHECKPOINT_MALFORMED'));
    }
    expect(() => formatCheckpoint({ ...head, root: Buffer.alloc(31) })).toThrow(
      code('HASH_MALFORMED'),
    );
  });
});
