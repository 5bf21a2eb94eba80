import { generateKeyPairSync } from 'node:crypto';
import { type AuditRecord, commit, recordText } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { signCheckpoint } from './checkpoint.ts';
import { mlDsa44Cosigner, noteVerifier } from './cosignature.ts';
import { edgeRoot } from './edge.ts';
import { type ExportLine, formatExportLine } from './export.ts';
import { leafHash } from './hash.ts';
import { ed25519Signer, verifierKey } from './note-keys.ts';
import { inclusionProof } from './prove.ts';
import { edgeOf, storeOf } from './tree.testing.ts';
import { verifyExport } from './verify-export.ts';

// Whoever hands an export on may change any line of it; each change below is made with everything
// recomputed that needs no key. Without the comparison that a test is about the file would verify.

const ORIGIN = 'log.test/acme';
const log = generateKeyPairSync('ed25519');
const co = generateKeyPairSync('ml-dsa-44');
const signers = [
  ed25519Signer(ORIGIN, log.privateKey),
  mlDsa44Cosigner(ORIGIN, co.privateKey, () => 1_700_000_000),
];
const verifiers = [log, co].map((pair) => noteVerifier(verifierKey(ORIGIN, pair.publicKey)));

const record = (seq: number, changes: Partial<AuditRecord> = {}): AuditRecord => ({
  v: 1,
  id: `id-${seq}`,
  time: '2026-01-15T12:00:00.000000Z',
  tenant: 'acme',
  producer: { service: 'erp-1', instance: 'i', version: '0.1.0', boot: 'b', n: seq },
  event: 'decision',
  decision: 'allow',
  reason: 'permitted',
  principal: commit('AAAAAAAAAAAAAAAAAAAAAA', 'alice'),
  ...changes,
});
const bytesOf = (one: AuditRecord) => Buffer.from(recordText(one));
const values = { '/principal': { salt: 'AAAAAAAAAAAAAAAAAAAAAA', value: 'alice' } };
const all = Array.from({ length: 12 }, (_, i) => record(i + 1));
const note = (list: readonly AuditRecord[], by = signers) =>
  signCheckpoint(
    { origin: ORIGIN, size: list.length, root: edgeRoot(edgeOf(list.map(bytesOf))) },
    by,
  );
const lineOf = (one: AuditRecord, seq: number): ExportLine => ({
  record: {
    seq,
    bytes: recordText(one),
    leaf: leafHash(bytesOf(one)).toString('base64'),
    values: one.principal ? values : {},
  },
});
const header = (size: number, mode: 'whole' | 'selection' = 'whole'): ExportLine => ({
  kind: 'remit-ledger-export',
  v: 1,
  mode,
  tenant: 'acme',
  origin: ORIGIN,
  size,
});
const fileOf = (list: readonly AuditRecord[], checkpoints: string[]): ExportLine[] => [
  header(list.length),
  ...checkpoints.map((checkpoint) => ({ checkpoint })),
  ...list.map((one, i) => lineOf(one, i + 1)),
  { end: { records: list.length, leaves: 0 } },
];
const good = () => fileOf(all, [note(all), note(all.slice(0, 6))]);
const verify = (lines: readonly ExportLine[], outside: readonly string[] = []) =>
  verifyExport({
    lines: lines.map((line) => formatExportLine(line).trimEnd()),
    origin: ORIGIN,
    verifiers,
    outside,
  });
/** A record's line with some of it replaced. */
const changed = (lines: readonly ExportLine[], place: number, change: object): ExportLine => {
  const { record: before } = lines[place] as unknown as { record: object };
  return { record: { ...before, ...change } } as unknown as ExportLine;
};
/** The place of a record's line. */
const at = (seq: number) => seq + 2;

describe('a whole export', () => {
  it('verifies with the log’s keys alone', async () => {
    expect(await verify(good())).toMatchObject({
      ok: true,
      mode: 'whole',
      size: 12,
      confirmed: 12,
      records: 12,
      dropped: 0,
      signedBy: verifiers,
      faults: [],
    });
  });

  it('names an edited record, with its hash left or recomputed', async () => {
    const forged = lineOf(record(9, { decision: 'deny' }), 9);
    const bytes = recordText(record(9, { decision: 'deny' }));
    const lazy = good().with(at(9), changed(good(), at(9), { bytes }));
    expect((await verify(lazy)).faults[0]).toMatchObject({ kind: 'edit', seq: 9, upTo: 9 });
    const careful = good().with(at(9), forged);
    expect((await verify(careful)).faults[0]).toMatchObject({ kind: 'edit', seq: 7, upTo: 12 });
  });

  it('names a deleted record, with a gap or with the later ones moved up', async () => {
    const gap = good().toSpliced(at(5), 1);
    expect((await verify(gap)).faults[0]).toMatchObject({ kind: 'delete', seq: 5, upTo: 5 });
    const moved = fileOf(all.toSpliced(4, 1), [note(all), note(all.slice(0, 6))]);
    moved[0] = header(12);
    expect((await verify(moved)).faults[0]).toMatchObject({ kind: 'delete', seq: 1, upTo: 6 });
  });

  it('names records that changed places', async () => {
    const swapped = [...all];
    [swapped[1], swapped[4]] = [all[4] as AuditRecord, all[1] as AuditRecord];
    const lines = fileOf(swapped, [note(all), note(all.slice(0, 6))]);
    expect((await verify(lines)).faults[0]).toMatchObject({ kind: 'reorder', seq: 2, upTo: 5 });
  });

  it('names an inserted record', async () => {
    const lines = fileOf(all.toSpliced(3, 0, record(99)), [note(all), note(all.slice(0, 6))]);
    lines[0] = header(12);
    expect((await verify(lines)).faults[0]).toMatchObject({ kind: 'insert', seq: 4, upTo: 4 });
  });

  it('names a truncated one, whether the end was cut off or written again', async () => {
    const cut = good().slice(0, at(8));
    expect((await verify(cut)).faults[0]).toMatchObject({ kind: 'truncation', seq: 8 });
    const shorter = [...cut, { end: { records: 7, leaves: 0 } }];
    expect((await verify(shorter)).faults[0]).toMatchObject({
      kind: 'truncation',
      seq: 8,
      upTo: 12,
    });
    const lying = good().with(good().length - 1, { end: { records: 11, leaves: 0 } });
    expect((await verify(lying)).faults[0]).toMatchObject({ kind: 'truncation' });
  });

  it('names an end that is older than a checkpoint kept elsewhere', async () => {
    const older = all.slice(0, 9);
    const lines = fileOf(older, [note(older), note(all.slice(0, 6))]);
    expect((await verify(lines)).ok).toBe(true);
    expect((await verify(lines, [note(all)])).faults[0]).toMatchObject({
      kind: 'restored_backup',
      seq: 10,
      upTo: 12,
    });
  });

  it('names another signed history than the one kept elsewhere', async () => {
    const forked = all.with(9, record(10, { reason: 'other' }));
    const lines = fileOf(forked, [note(forked), note(all.slice(0, 6))]);
    expect((await verify(lines)).ok).toBe(true);
    expect((await verify(lines, [note(all)])).faults[0]).toMatchObject({ kind: 'fork', upTo: 12 });
  });

  it('names a value that does not open its commitment, and does not miss an erased one', async () => {
    const erased = good();
    erased[at(4)] = changed(erased, at(4), { values: {} });
    expect((await verify(erased)).ok).toBe(true);
    const other = { '/principal': { ...values['/principal'], value: 'bob' } };
    erased[at(4)] = changed(erased, at(4), { values: other });
    expect((await verify(erased)).faults).toMatchObject([{ kind: 'edit', seq: 4, upTo: 4 }]);
  });

  it('lets go only what a record of the audit service itself let go', async () => {
    const retention = (upTo: number, service = 'audit') =>
      record(13, {
        event: 'admin.retention',
        detail: { up_to: upTo },
        producer: { service, instance: 'i', version: '0.1.0', boot: 'b', n: 13 },
      });
    const withoutFirst = (last: AuditRecord): ExportLine[] => {
      const list = [...all, last];
      const hashes = all.slice(0, 5).map((one) => leafHash(bytesOf(one)).toString('base64'));
      return [
        header(13),
        { checkpoint: note(list) },
        { leaves: { from: 1, hashes } },
        ...list.slice(5).map((one, i) => lineOf(one, i + 6)),
        { end: { records: 8, leaves: 5 } },
      ];
    };
    expect(await verify(withoutFirst(retention(5)))).toMatchObject({ ok: true, dropped: 5 });
    for (const last of [retention(3), retention(5, 'erp-1'), record(13)]) {
      const [fault] = (await verify(withoutFirst(last))).faults;
      expect(fault).toMatchObject({ kind: 'delete', upTo: 5 });
    }
  });

  it('wants a signature of every kind of key that the reader asks for', async () => {
    const lines = fileOf(all, [note(all, signers.slice(0, 1))]);
    const input = { lines: lines.map((l) => JSON.stringify(l)), origin: ORIGIN, verifiers };
    expect((await verifyExport(input)).ok).toBe(true);
    const strict = await verifyExport({ ...input, required: verifiers.map((one) => [one]) });
    expect(strict.faults).toMatchObject([{ kind: 'checkpoint' }]);
  });

  it('is refused without a header, and damage below it is a fault', async () => {
    for (const lines of [
      [],
      ['x'],
      ['{}'],
      ['{"checkpoint":"x"}'],
      ['{"kind":"other"}'],
      ['null'],
    ]) {
      await expect(verifyExport({ lines, origin: ORIGIN, verifiers })).rejects.toThrow(
        expect.objectContaining({ code: 'EXPORT_MALFORMED' }),
      );
    }
    for (const junk of ['x', '{"other":1}', '{"record":{"seq":1}}', '{"record":1,"end":2}']) {
      const lines = good()
        .map((line) => JSON.stringify(line))
        .with(at(4), junk);
      const report = await verifyExport({ lines, origin: ORIGIN, verifiers });
      expect(report.ok, junk).toBe(false);
      expect(report.faults[0], junk).toMatchObject({ seq: 4 });
    }
    const foreign = good().with(0, { ...(header(12) as object), origin: 'other' } as ExportLine);
    expect((await verify(foreign)).faults[0]).toMatchObject({ kind: 'checkpoint' });
    expect((await verify(good().toSpliced(1, 2))).ok).toBe(false);
  });
});

describe('a selection', () => {
  const selection = async (seqs: readonly number[]): Promise<ExportLine[]> => {
    const store = storeOf(all.map(bytesOf));
    const lines: ExportLine[] = [header(12, 'selection'), { checkpoint: note(all) }];
    for (const seq of seqs) {
      const one = lineOf(all[seq - 1] as AuditRecord, seq) as unknown as { record: object };
      const proof = (await inclusionProof(store, seq - 1, 12)).map((hash) =>
        Buffer.from(hash).toString('base64'),
      );
      lines.push({ record: { ...one.record, proof } } as unknown as ExportLine);
    }
    return [...lines, { end: { records: seqs.length, leaves: 0 } }];
  };

  it('proves each record by itself', async () => {
    const report = await verify(await selection([2, 5, 11]));
    expect(report).toMatchObject({ ok: true, mode: 'selection', records: 3, size: 12 });
  });

  it('names each record that is edited, moved, planted or unproven', async () => {
    const lines = await selection([2, 5, 11]);
    const part = (i: number) => (lines[i] as unknown as { record: { proof: string[] } }).record;
    const forged = (lineOf(record(2, { decision: 'deny' }), 2) as unknown as { record: object })
      .record;
    for (const [line, kind] of [
      [{ ...part(2), bytes: recordText(record(2, { decision: 'deny' })) }, 'edit'],
      [{ ...forged, proof: part(2).proof }, 'insert'],
      [{ ...part(2), seq: 3 }, 'insert'],
      [{ ...part(2), proof: [] }, 'insert'],
    ] as const) {
      const [fault] = (await verify(lines.with(2, { record: line } as never))).faults;
      expect(fault).toMatchObject({ kind });
    }
    const backwards = [...lines.slice(0, 2), lines[3], lines[2], ...lines.slice(4)] as ExportLine[];
    expect((await verify(backwards)).faults[0]).toMatchObject({ kind: 'reorder', seq: 2 });
    expect((await verify(lines.slice(0, 4))).faults[0]).toMatchObject({ kind: 'truncation' });
    expect((await verify(lines.toSpliced(1, 1))).ok).toBe(false);
  });
});
