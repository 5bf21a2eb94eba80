import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuditRecord, recordText } from '@remit/contracts';
import {
  appendLeaf,
  type Edge,
  ed25519Cosigner,
  ed25519Signer,
  edgeRoot,
  emptyEdge,
  formatExportLine,
  formatVkey,
  leafHash,
  mlDsa44Cosigner,
  signCheckpoint,
  verifierKey,
} from '@remit/ledger';
import { afterAll, expect, test } from 'vitest';
import { verify } from './verify.ts';

const dir = mkdtempSync(join(tmpdir(), 'remit-verify-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const ORIGIN = 'log.test/acme';
const log = generateKeyPairSync('ed25519');
const co = generateKeyPairSync('ml-dsa-44');
const witness = generateKeyPairSync('ed25519');
const signers = [
  ed25519Signer(ORIGIN, log.privateKey),
  mlDsa44Cosigner(ORIGIN, co.privateKey, () => 1),
];
const texts = Array.from({ length: 4 }, (_, i) =>
  recordText({
    v: 1,
    id: `id-${i}`,
    time: '2026-01-15T12:00:00.000000Z',
    tenant: 'acme',
    producer: { service: 'erp-1', instance: 'i', version: '0', boot: 'b', n: i + 1 },
    event: 'decision',
    // JSON leaves line separators as they are, and so does the file: none of them ends a line.
    reason: `r-${i}\u2028\u2029\u0085`,
  } satisfies AuditRecord),
);
const write = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const note = (size: number, by = signers) => {
  const hashes = texts.slice(0, size).map((text) => leafHash(Buffer.from(text)));
  const edge = hashes.reduce<Edge>((before, leaf) => appendLeaf(before, leaf), emptyEdge);
  return signCheckpoint({ origin: ORIGIN, size, root: edgeRoot(edge) }, by);
};
const exportOf = (size: number, by = signers): string =>
  [
    {
      kind: 'remit-ledger-export',
      v: 1,
      mode: 'whole',
      tenant: 'acme',
      origin: ORIGIN,
      size,
    } as const,
    { checkpoint: note(size, by) },
    ...texts.slice(0, size).map((bytes, i) => ({
      record: {
        seq: i + 1,
        bytes,
        leaf: leafHash(Buffer.from(bytes)).toString('base64'),
        values: {},
      },
    })),
    { end: { records: size, leaves: 0 } },
  ]
    .map(formatExportLine)
    .join('');
const jwk = (key: typeof log.publicKey) => key.export({ format: 'jwk' });
const trust = write(
  'trust.json',
  JSON.stringify({
    v: 1,
    tenants: {},
    keys: {
      ...Object.fromEntries(
        ['revocation', 'registry', 'envelope', 'pdp', 'audit_mark'].map((name) => [
          name,
          [jwk(log.publicKey)],
        ]),
      ),
      checkpoint: [jwk(log.publicKey), jwk(co.publicKey)],
    },
    checkpoint_origin: 'log.test',
  }),
);
const witnessKey = verifierKey('witness.test/w1', witness.publicKey, { cosigner: true });
const vkeys = write(
  'vkeys',
  `# the log and its witness\n${[verifierKey(ORIGIN, log.publicKey), witnessKey].map(formatVkey).join('\n')}\n`,
);

test('an export verifies with a trust file, and says what it could not see', async () => {
  const file = write('good.ndjson', exportOf(4));
  expect(await verify(file, { trust, checkpoint: [] })).toEqual({
    ok: true,
    text:
      'OK  log.test/acme: all 4 records\nsigned by log.test/acme\n' +
      'the name of the log was taken from the file\n' +
      'compared with no checkpoint from elsewhere: another history, or a later end, would not be seen',
  });
  const elsewhere = write('note', note(4));
  const sure = await verify(file, { trust, checkpoint: [elsewhere], origin: ORIGIN });
  expect(sure.text).toBe('OK  log.test/acme: all 4 records\nsigned by log.test/acme');
});

test('a changed or older export is not OK, and the first place is named', async () => {
  const changed = write('changed.ndjson', exportOf(4).replace('id-2', 'id-7'));
  expect(await verify(changed, { trust, checkpoint: [] })).toEqual({
    ok: false,
    text: 'NOT OK  log.test/acme\nedit at 3: the bytes are not those that were hashed',
  });
  const older = write('older.ndjson', exportOf(3));
  const kept = write('newer-note', note(4));
  const report = await verify(older, { trust, checkpoint: [kept] });
  expect(report.text).toContain('restored_backup at 4: ');
  expect(report.ok).toBe(false);
});

test('every kind of key that is pinned must have signed, and the witness when it is asked for', async () => {
  const weak = write('weak.ndjson', exportOf(4, signers.slice(0, 1)));
  expect((await verify(weak, { trust, checkpoint: [] })).text).toContain('lacks a signature of');
  expect((await verify(weak, { trust: vkeys, checkpoint: [] })).ok).toBe(true);
  const alone = await verify(weak, { trust: vkeys, checkpoint: [], witnessed: true });
  expect(alone.text).toContain('lacks a signature of witness.test/w1');
  const cosigner = ed25519Cosigner('witness.test/w1', witness.privateKey, () => 1);
  const witnessed = write('witnessed.ndjson', exportOf(4, [signers[0] ?? cosigner, cosigner]));
  const both = await verify(witnessed, { trust: vkeys, checkpoint: [], witnessed: true });
  expect(both).toMatchObject({ ok: true, text: expect.stringContaining('witness.test/w1') });
});

test('files that are no export, no keys or not there are said in one sentence', async () => {
  const good = write('good.ndjson', exportOf(4));
  const junk = write('junk', 'junk\n');
  for (const [file, options] of [
    [junk, { trust }],
    [join(dir, 'none'), { trust }],
    [good, { trust: junk }],
    [good, { trust: join(dir, 'none') }],
    [good, { trust, origin: 'other.test/acme' }],
    [good, { trust, witnessed: true }],
    [good, { trust, checkpoint: [join(dir, 'none')] }],
  ] as const) {
    await expect(verify(file, { checkpoint: [], ...options })).rejects.toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    );
  }
});
