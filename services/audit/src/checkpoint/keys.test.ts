import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PublicJwk, TrustFile } from '@remit/contracts';
import {
  cosignatureTime,
  emptyRoot,
  mlDsa44Verifier,
  openCheckpoint,
  openNote,
  parseNote,
  signCheckpoint,
  verifierKey,
} from '@remit/ledger';
import { fixedClock } from '@remit/testkit';
import { afterAll, expect, test } from 'vitest';
import { readCheckpointKeys } from './keys.ts';

const dir = mkdtempSync(join(tmpdir(), 'remit-keys-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const ed = generateKeyPairSync('ed25519');
const mlDsa = generateKeyPairSync('ml-dsa-44');
const trust = {
  keys: {
    checkpoint: [ed, mlDsa].map(
      ({ publicKey }) => publicKey.export({ format: 'jwk' }) as PublicJwk,
    ),
  },
  checkpoint_origin: 'log.test',
} as TrustFile;

function signerFile(name: string, content: unknown): string {
  const file = join(dir, name);
  writeFileSync(file, JSON.stringify(content));
  return file;
}
const jwk = (key: typeof ed.privateKey) => key.export({ format: 'jwk' });
const head = { origin: 'log.test/acme', size: 3, root: emptyRoot() };

test('the first Ed25519 key signs a tenant’s log under its own name', () => {
  const file = signerFile('one.json', { keys: [jwk(ed.privateKey)] });
  const keys = readCheckpointKeys(file, trust, fixedClock());
  const note = signCheckpoint(head, keys.signers('acme'));
  const expected = (tenant: string) => ({
    origin: keys.origin(tenant),
    verifiers: keys.verifiers(tenant),
  });
  expect(openCheckpoint(note, expected('acme'))).toEqual(head);
  expect(() => openCheckpoint(note, expected('globex'))).toThrow(
    expect.objectContaining({ code: 'NOTE_UNSIGNED' }),
  );
});

test('an ML-DSA-44 key in the file cosigns with the time, and who knows only Ed25519 still verifies', () => {
  const both = { keys: [jwk(ed.privateKey), jwk(mlDsa.privateKey)] };
  const clock = fixedClock();
  const keys = readCheckpointKeys(signerFile('two.json', both), trust, clock);
  const note = signCheckpoint(head, keys.signers('acme'));
  expect(parseNote(note).signatures).toHaveLength(2);
  const cosigner = mlDsa44Verifier(verifierKey('log.test/acme', mlDsa.publicKey));
  expect(openNote(note, [cosigner]).signedBy).toEqual([cosigner]);
  const [, line] = parseNote(note).signatures;
  expect(cosignatureTime(line?.signature ?? Buffer.alloc(8))).toBe(clock.nowSeconds());
  expect(openNote(note, keys.verifiers('acme')).signedBy).toHaveLength(2);
  const ed25519Alone = keys.verifiers('acme').slice(0, 1);
  expect(openNote(note, ed25519Alone).signedBy).toHaveLength(1);
  expect(keys.publicJwks().map(({ kty }) => kty)).toEqual(['OKP', 'AKP']);
  expect(JSON.stringify(keys.publicJwks())).not.toMatch(/"(d|priv)":/);
});

test('a key that nobody could check, a file of another kind, or none is refused', () => {
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const cases: [string, unknown, string][] = [
    [
      'stranger.json',
      { keys: [jwk(stranger)] },
      'signs with a key that the trust file does not name',
    ],
    [
      'cosigner.json',
      { keys: [jwk(ed.privateKey), jwk(generateKeyPairSync('ml-dsa-44').privateKey)] },
      'signs with a key that the trust file does not name',
    ],
    ['mldsa.json', { keys: [jwk(mlDsa.privateKey)] }, 'holds no Ed25519 key'],
    ['public.json', { keys: [jwk(ed.publicKey)] }, 'holds a key that cannot be read'],
    ['empty.json', { keys: [] }, 'holds no Ed25519 key'],
    ['other.json', [], 'is not a signer file'],
  ];
  for (const [name, content, why] of cases) {
    const file = signerFile(name, content);
    expect(() => readCheckpointKeys(file, trust, fixedClock()), name).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_KEY_INVALID', message: `${file} ${why}.` }),
    );
  }
  expect(() => readCheckpointKeys(join(dir, 'nowhere'), trust, fixedClock())).toThrow(
    expect.objectContaining({ code: 'KEY_FILE_INVALID' }),
  );
});

test('a key is replaced without losing what the old one signed', () => {
  const next = generateKeyPairSync('ed25519');
  const pinned = [ed.publicKey, mlDsa.publicKey, next.publicKey];
  const both = {
    ...trust,
    keys: { ...trust.keys, checkpoint: pinned.map((key) => key.export({ format: 'jwk' })) },
  } as TrustFile;
  const open = (file: string) => readCheckpointKeys(file, both, fixedClock());
  const before = open(
    signerFile('before.json', { keys: [ed, mlDsa].map((k) => jwk(k.privateKey)) }),
  );
  const after = open(
    signerFile('after.json', { keys: [next, mlDsa].map((k) => jwk(k.privateKey)) }),
  );
  for (const signing of [before, after]) {
    const note = signCheckpoint(head, signing.signers('acme'));
    expect(openNote(note, after.verifiers('acme')).signedBy).toHaveLength(2);
    expect(openNote(note, before.verifiers('acme')).signedBy).toHaveLength(2);
  }
});
