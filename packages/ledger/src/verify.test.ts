import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signCheckpoint } from './checkpoint.ts';
import { edgeRoot } from './edge.ts';
import { leafHash } from './hash.ts';
import { ed25519Signer, ed25519Verifier, verifierKey } from './note-keys.ts';
import { edgeOf } from './tree.testing.ts';
import { type KeptCheckpoint, type LedgerRow, type VerifyInput, verifyLedger } from './verify.ts';

const ORIGIN = 'audit.example/acme';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const signer = ed25519Signer(ORIGIN, privateKey);
const verifiers = [ed25519Verifier(verifierKey(ORIGIN, publicKey))];

const bytesOf = (name: string) => Buffer.from(`{"id":"${name}"}`);
const names = (count: number, prefix = 'r') =>
  Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
const rowsOf = (list: readonly string[]): LedgerRow[] =>
  list.map((name, i) => ({
    seq: i + 1,
    bytes: bytesOf(name),
    leafHash: leafHash(bytesOf(name)),
  }));
const note = (list: readonly string[], where: 'inside' | 'outside'): KeptCheckpoint => ({
  where,
  note: signCheckpoint(
    { origin: ORIGIN, size: list.length, root: edgeRoot(edgeOf(list.map(bytesOf))) },
    [signer],
  ),
});
const edge = (list: readonly string[]) => edgeOf(list.map(bytesOf));

/** A ledger of 20 records, signed inside at 8 and 16, outside at 8, 16 and 20. */
const all = names(20);
const inside = [note(all.slice(0, 8), 'inside'), note(all.slice(0, 16), 'inside')];
const outside = [8, 16, 20].map((size) => note(all.slice(0, size), 'outside'));
const verify = (input: Partial<VerifyInput>) =>
  verifyLedger({
    records: rowsOf(all),
    checkpoints: [...inside, ...outside],
    origin: ORIGIN,
    verifiers,
    edge: edge(all),
    ...input,
  });

describe('verifying a ledger', () => {
  it('finds an untouched one whole, up to the last signed head', async () => {
    const report = await verify({});
    expect(report).toMatchObject({ ok: true, size: 20, confirmed: 20, faults: [] });
    expect(report.checkpoints).toEqual({ inside: 2, outside: 3 });
    expect(Buffer.compare(report.root, edgeRoot(edge(all)))).toBe(0);
  });

  it('accepts an empty one, and one without any checkpoint', async () => {
    const none = { records: [], checkpoints: [], edge: edge([]) };
    expect(await verify(none)).toMatchObject({ ok: true, size: 0, confirmed: 0 });
    expect(await verify({ checkpoints: [] })).toMatchObject({ ok: true, size: 20, confirmed: 0 });
  });

  it('names an edited record', async () => {
    const rows = rowsOf(all);
    rows[9] = { ...(rows[9] as LedgerRow), bytes: bytesOf('forged') };
    expect((await verify({ records: rows })).faults).toEqual([
      { seq: 10, upTo: 10, kind: 'edit', detail: 'the bytes are not those that were hashed' },
    ]);
  });

  it('names where an edited record lies whose hash and edge were recomputed', async () => {
    const forged = all.with(9, 'forged');
    const report = await verify({ records: rowsOf(forged), edge: edge(forged) });
    expect(report.faults).toEqual([
      {
        seq: 9,
        upTo: 16,
        kind: 'edit',
        detail: 'records do not have the root of the head kept inside',
      },
    ]);
    expect(report.confirmed).toBe(8);
  });

  it('names a deleted record', async () => {
    const report = await verify({ records: rowsOf(all).toSpliced(11, 1) });
    expect(report.faults).toEqual([
      { seq: 12, upTo: 12, kind: 'delete', detail: 'the sequence has a gap' },
    ]);
  });

  it('finds a deletion after which the later ones were moved up', async () => {
    const less = all.toSpliced(11, 1);
    const report = await verify({ records: rowsOf(less), edge: edge(less) });
    expect(report.faults[0]).toMatchObject({ seq: 9, upTo: 16, kind: 'delete' });
  });

  it('finds it behind the last signed head too, by the subtrees of the stored edge', async () => {
    const less = names(12).toSpliced(7, 1);
    const checkpoints = [note(names(6), 'inside'), note(names(12), 'outside')];
    const report = await verify({ records: rowsOf(less), edge: edge(names(12)), checkpoints });
    expect(report.faults).toEqual([expect.objectContaining({ seq: 7, upTo: 8, kind: 'delete' })]);
    const cut = await verify({ records: rowsOf(names(11)), edge: edge(names(12)), checkpoints });
    expect(cut.faults).toEqual([
      expect.objectContaining({ seq: 12, upTo: 12, kind: 'truncation' }),
    ]);
  });

  it('names two records that changed places, with or without their hashes', async () => {
    const moved = all.with(9, 'r14').with(13, 'r10');
    expect((await verify({ records: rowsOf(moved), edge: edge(moved) })).faults).toEqual([
      expect.objectContaining({ seq: 10, upTo: 14, kind: 'reorder' }),
    ]);
    const rows = rowsOf(moved).map((row, i) => ({
      ...row,
      leafHash: leafHash(bytesOf(all[i] as string)),
    }));
    expect((await verify({ records: rows })).faults).toEqual([
      expect.objectContaining({ seq: 10, upTo: 10, kind: 'reorder' }),
      expect.objectContaining({ seq: 14, upTo: 14, kind: 'reorder' }),
    ]);
  });

  it('names an inserted record: behind the head, in between, or out of order', async () => {
    const longer = [...all, 'extra'];
    expect((await verify({ records: rowsOf(longer) })).faults).toEqual([
      expect.objectContaining({ seq: 21, upTo: 21, kind: 'insert' }),
    ]);
    const between = all.toSpliced(11, 0, 'extra');
    expect((await verify({ records: rowsOf(between) })).faults[0]).toMatchObject({
      seq: 12,
      upTo: 12,
      kind: 'insert',
      detail: 'a record was put between the others',
    });
    const rows = rowsOf(all);
    const doubled = rows.toSpliced(5, 0, rows[4] as LedgerRow);
    expect((await verify({ records: doubled })).faults).toEqual([
      expect.objectContaining({ seq: 5, kind: 'insert' }),
    ]);
  });

  it('tells a truncation from a restored backup by who still knows of the records', async () => {
    const short = all.slice(0, 17);
    expect((await verify({ records: rowsOf(short) })).faults).toEqual([
      {
        seq: 18,
        upTo: 20,
        kind: 'truncation',
        detail: 'the ledger ends before its own head',
      },
    ]);
    expect((await verify({ records: rowsOf(short), edge: edge(short) })).faults).toEqual([
      {
        seq: 18,
        upTo: 20,
        kind: 'restored_backup',
        detail: 'the ledger is older than a checkpoint kept outside',
      },
    ]);
  });

  it('finds nothing wrong with a restored backup when no checkpoint is kept outside', async () => {
    // What the outside copy is for: without it, the older state is as good as any.
    const short = all.slice(0, 17);
    const old = { records: rowsOf(short), edge: edge(short), checkpoints: inside };
    expect((await verify(old)).ok).toBe(true);
  });

  it('finds a fork: another signed history after a restored backup', async () => {
    const fork = [...all.slice(0, 17), ...names(8, 'other')];
    const report = await verify({
      records: rowsOf(fork),
      edge: edge(fork),
      checkpoints: [...inside, note(fork, 'inside'), ...outside],
    });
    expect(report.faults).toEqual([expect.objectContaining({ seq: 17, upTo: 20, kind: 'fork' })]);
    expect(report.confirmed).toBe(25);
  });

  it('finds a fork in two signed heads of one size, also beyond its own end', async () => {
    const twin = note(all.with(19, 'other'), 'outside');
    const both = await verify({ checkpoints: [...inside, ...outside, twin] });
    expect(both.faults).toEqual([expect.objectContaining({ seq: 17, upTo: 20, kind: 'fork' })]);
    const short = all.slice(0, 17);
    const beyond = await verify({
      records: rowsOf(short),
      edge: edge(short),
      checkpoints: [...inside, ...outside, twin],
    });
    expect(beyond.faults.map((fault) => fault.kind)).toEqual(['restored_backup', 'fork']);
  });

  it('refuses a checkpoint that is forged, of another log or unreadable', async () => {
    const stranger = ed25519Signer(ORIGIN, generateKeyPairSync('ed25519').privateKey);
    const root = edgeRoot(edge(all));
    for (const bad of [
      signCheckpoint({ origin: ORIGIN, size: 20, root }, [stranger]),
      signCheckpoint({ origin: 'audit.example/globex', size: 20, root }, [signer]),
      'nonsense',
      (outside[2] as KeptCheckpoint).note.replace('\n20\n', '\n21\n'),
    ]) {
      const report = await verify({ checkpoints: [{ note: bad, where: 'outside' }] });
      expect(report.faults).toEqual([expect.objectContaining({ seq: 0, kind: 'checkpoint' })]);
      expect(report.confirmed).toBe(0);
    }
  });

  it('finds a right edge that is not the one of the records', async () => {
    const forged = edge(all.with(3, 'other'));
    expect((await verify({ edge: forged })).faults).toEqual([
      expect.objectContaining({ upTo: 20, kind: 'edit' }),
    ]);
  });

  it('reports what the inspection of a record says', async () => {
    const lie = 'a column lies';
    const inspect = ({ seq }: LedgerRow) => (seq === 7 ? lie : undefined);
    expect((await verify({ inspect })).faults).toEqual([
      { seq: 7, upTo: 7, kind: 'edit', detail: lie },
    ]);
  });

  it('finds every single change to any ledger with a signed end, no later than it lies', async () => {
    const change = fc.constantFrom('edit', 'rehash', 'delete', 'renumber', 'swap', 'insert', 'cut');
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 40 }),
        fc.nat(),
        fc.nat(),
        change,
        async (size, at, every, how) => {
          const list = names(size);
          const i = at % size;
          const step = 1 + (every % size);
          const checkpoints = [note(list, 'outside')];
          for (let n = step; n < size; n += step) {
            checkpoints.push(note(list.slice(0, n), 'inside'));
          }
          const rows = rowsOf(list);
          const other = (i + 1) % size;
          const swapped = list.with(i, list[other] as string).with(other, list[i] as string);
          const records = {
            edit: rows.with(i, { ...(rows[i] as LedgerRow), bytes: bytesOf('x') }),
            rehash: rowsOf(list.with(i, 'x')),
            delete: rows.toSpliced(i, 1),
            renumber: rowsOf(list.toSpliced(i, 1)),
            swap: rowsOf(swapped),
            insert: rowsOf(list.toSpliced(i, 0, 'x')),
            cut: rows.slice(0, i),
          }[how];
          const input = { records, checkpoints, origin: ORIGIN, verifiers };
          const report = await verifyLedger(input);
          const [first] = report.faults;
          expect(report.ok).toBe(false);
          // Records that no signed head before the lost ones covers can't be told from moved ones.
          if (how === 'renumber' && first?.kind === 'restored_backup') {
            expect(report.confirmed).toBeLessThan(i + 1);
            return;
          }
          expect(first?.seq).toBeLessThanOrEqual(Math.min(i, how === 'swap' ? other : i) + 1);
          expect(first?.upTo).toBeGreaterThanOrEqual(how === 'swap' ? Math.min(i, other) + 1 : i);
        },
      ),
      { numRuns: 300 },
    );
  });
});
