import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyConsistency, verifyInclusion } from './check-proof.ts';
import { appendLeaf, decodeEdge, type Edge, edgeRoot, emptyEdge, encodeEdge } from './edge.ts';
import { emptyRoot, leafHash } from './hash.ts';
import { consistencyProof, inclusionProof, rootAt } from './prove.ts';
import { edgeOf, storeOf } from './tree.testing.ts';

/** The inputs and roots of the reference tests of Certificate Transparency. */
const CT_ENTRIES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map((hex) => Buffer.from(hex, 'hex'));
const CT_ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

// The oracle: the recursive definitions of RFC 9162 sections 2.1.1, 2.1.3.1 and 2.1.4.1, word by word.
const sha = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
const splitOf = (n: number) => 2 ** (Math.ceil(Math.log2(n)) - 1);
function mth(d: readonly Uint8Array[]): Buffer {
  if (d.length === 0) return sha();
  if (d.length === 1) return sha(Buffer.of(0), d[0] as Uint8Array);
  const k = splitOf(d.length);
  return sha(Buffer.of(1), mth(d.slice(0, k)), mth(d.slice(k)));
}
function path(m: number, d: readonly Uint8Array[]): Buffer[] {
  if (d.length === 1) return [];
  const k = splitOf(d.length);
  return m < k
    ? [...path(m, d.slice(0, k)), mth(d.slice(k))]
    : [...path(m - k, d.slice(k)), mth(d.slice(0, k))];
}
function subproof(m: number, d: readonly Uint8Array[], whole: boolean): Buffer[] {
  if (m === d.length) return whole ? [] : [mth(d)];
  const k = splitOf(d.length);
  return m <= k
    ? [...subproof(m, d.slice(0, k), whole), mth(d.slice(k))]
    : [...subproof(m - k, d.slice(k), false), mth(d.slice(0, k))];
}

const entries = fc.array(fc.uint8Array({ maxLength: 8 }), { minLength: 1, maxLength: 70 });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('the tree', () => {
  it('has the published roots for 0 to 8 entries', () => {
    let edge: Edge = emptyEdge;
    expect(hex(edgeRoot(edge))).toBe(CT_ROOTS[0]);
    expect(hex(emptyRoot())).toBe(CT_ROOTS[0]);
    CT_ENTRIES.forEach((entry, i) => {
      edge = appendLeaf(edge, leafHash(entry));
      expect(hex(edgeRoot(edge))).toBe(CT_ROOTS[i + 1]);
    });
  });

  it('grows by its edge to the root that the definition gives', () => {
    fc.assert(
      fc.property(entries, (data) => {
        const edge = edgeOf(data);
        expect(hex(edgeRoot(edge))).toBe(hex(mth(data)));
        expect(edge.hashes.length).toBe(edge.size.toString(2).replaceAll('0', '').length);
      }),
    );
  });

  it('survives being written down at any size', () => {
    fc.assert(
      fc.property(entries, entries, (before, after) => {
        const kept = decodeEdge(encodeEdge(edgeOf(before)));
        const grown = after.reduce<Edge>((edge, e) => appendLeaf(edge, leafHash(e)), kept);
        expect(hex(edgeRoot(grown))).toBe(hex(mth([...before, ...after])));
      }),
    );
  });

  it('refuses an edge whose hashes are not those of its size', () => {
    const good = encodeEdge(edgeOf(CT_ENTRIES.slice(0, 3)));
    const wrongSize = Buffer.from(good);
    wrongSize[7] = 4;
    for (const bad of [
      good.subarray(0, 7),
      good.subarray(0, -1),
      wrongSize,
      good.subarray(0, 40),
    ]) {
      expect(() => decodeEdge(bad)).toThrow(expect.objectContaining({ code: 'EDGE_MALFORMED' }));
    }
    expect(() => appendLeaf(emptyEdge, Buffer.alloc(31))).toThrow(
      expect.objectContaining({ code: 'HASH_MALFORMED', message: 'a hash has 32 bytes' }),
    );
  });

  it('tells of every complete subtree once', () => {
    const seen: string[] = [];
    const data = Array.from({ length: 13 }, (_, i) => Buffer.of(i));
    data.reduce<Edge>(
      (edge, entry) =>
        appendLeaf(edge, leafHash(entry), ({ level, index, hash }) => {
          expect(hex(hash)).toBe(
            hex(mth(data.slice(index * 2 ** level, (index + 1) * 2 ** level))),
          );
          seen.push(`${level}/${index}`);
        }),
      emptyEdge,
    );
    expect(seen.length).toBe(13 + 6 + 3 + 1);
    expect(new Set(seen).size).toBe(seen.length);
  });
});

describe('an inclusion proof', () => {
  it('is the path of the definition, and verifies', async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.nat(), async (data, at) => {
        const index = at % data.length;
        const proof = await inclusionProof(storeOf(data), index, data.length);
        expect(proof.map(hex)).toEqual(path(index, data).map(hex));
        const claim = { index, size: data.length, proof, root: mth(data) };
        expect(verifyInclusion({ ...claim, leaf: leafHash(data[index] as Uint8Array) })).toBe(true);
      }),
    );
  });

  it('verifies for no other leaf, position, size, root or proof', async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.nat(), fc.nat(), async (data, at, flip) => {
        fc.pre(data.length > 1);
        const index = at % data.length;
        const proof = await inclusionProof(storeOf(data), index, data.length);
        const leaf = leafHash(data[index] as Uint8Array);
        const good = { leaf, index, size: data.length, proof, root: mth(data) };
        const other = sha(Buffer.from('other'));
        const bad = proof.map((hash, i) => (i === flip % proof.length ? other : hash));
        for (const change of [
          { leaf: other },
          { root: other },
          { proof: bad },
          { proof: proof.slice(1) },
          { proof: [...proof, other] },
          { index: data.length },
          { index: -1 },
          { index: index + 0.5 },
          { leaf: leaf.subarray(1) },
          // An inner node, or the root itself, presented as an entry of the tree.
          { leaf: good.root, proof: [] },
        ]) {
          expect(verifyInclusion({ ...good, ...change })).toBe(false);
        }
      }),
    );
  });

  it('is cut from tiles in a tree of several levels of them', async () => {
    const data = Array.from({ length: 70_000 }, (_, i) => Buffer.from(`${i}`));
    const edge = edgeOf(data);
    const asked: number[] = [];
    const store = storeOf(data);
    const read: typeof store = (level, start, count) => {
      asked.push(count);
      return store(level, start, count);
    };
    for (const index of [0, 255, 256, 65_535, 65_536, 69_999]) {
      const proof = await inclusionProof(read, index, data.length);
      const leaf = leafHash(data[index] as Uint8Array);
      const root = edgeRoot(edge);
      expect(verifyInclusion({ leaf, index, size: data.length, proof, root })).toBe(true);
    }
    expect(Math.max(...asked)).toBeLessThanOrEqual(128);
    expect(hex(await rootAt(read, data.length))).toBe(hex(edgeRoot(edge)));
  });

  it('is refused for a position that the tree has not, or from a store with holes', async () => {
    const store = storeOf(CT_ENTRIES);
    for (const [index, size] of [
      [8, 8],
      [-1, 8],
      [0, 0],
      [0.5, 8],
    ] as const) {
      await expect(inclusionProof(store, index, size)).rejects.toThrow(
        expect.objectContaining({ code: 'RANGE_INVALID' }),
      );
    }
    await expect(inclusionProof(store, 0, 9)).rejects.toThrow(
      expect.objectContaining({ code: 'READER_INCOMPLETE' }),
    );
  });
});

describe('a consistency proof', () => {
  it('is the proof of the definition, and verifies', async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.nat(), async (data, at) => {
        const oldSize = 1 + (at % data.length);
        const proof = await consistencyProof(storeOf(data), oldSize, data.length);
        expect(proof.map(hex)).toEqual(subproof(oldSize, data, true).map(hex));
        const claim = { oldSize, newSize: data.length, proof, newRoot: mth(data) };
        expect(verifyConsistency({ ...claim, oldRoot: mth(data.slice(0, oldSize)) })).toBe(true);
      }),
    );
  });

  it('verifies for no other history', async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.nat(), async (data, at) => {
        fc.pre(data.length > 1);
        const oldSize = 1 + (at % (data.length - 1));
        const proof = await consistencyProof(storeOf(data), oldSize, data.length);
        const oldRoot = mth(data.slice(0, oldSize));
        const good = { oldSize, oldRoot, newSize: data.length, newRoot: mth(data), proof };
        const other = sha(Buffer.from('other'));
        for (const change of [
          { oldRoot: other },
          { newRoot: other },
          { proof: proof.slice(1) },
          { proof: [...proof, other] },
          { proof: proof.with(0, other) },
          { oldSize: data.length + 1 },
          { oldRoot: good.newRoot, proof: [] },
          { oldSize: -1 },
        ]) {
          expect(verifyConsistency({ ...good, ...change })).toBe(false);
        }
      }),
    );
  });

  it('is empty for equal sizes and for the empty tree, and then only equal roots pass', async () => {
    const store = storeOf(CT_ENTRIES);
    expect(await consistencyProof(store, 8, 8)).toEqual([]);
    expect(await consistencyProof(store, 0, 8)).toEqual([]);
    const root = mth(CT_ENTRIES);
    const same = { oldSize: 8, newSize: 8, oldRoot: root, proof: [] };
    expect(verifyConsistency({ ...same, newRoot: root })).toBe(true);
    expect(verifyConsistency({ ...same, newRoot: emptyRoot() })).toBe(false);
    const empty = { oldSize: 0, oldRoot: emptyRoot(), newSize: 8, newRoot: root };
    expect(verifyConsistency({ ...empty, proof: [] })).toBe(true);
    expect(verifyConsistency({ ...empty, proof: [root] })).toBe(false);
  });

  it('holds for sizes beyond 32 bits', () => {
    const leaf = leafHash(Buffer.from('x'));
    const size = 2 ** 40;
    const proof = Array.from({ length: 40 }, () => leaf);
    const root = proof.reduce((hash, sibling) => sha(Buffer.of(1), hash, sibling), leaf);
    expect(verifyInclusion({ leaf, index: 0, size, proof, root })).toBe(true);
    expect(verifyInclusion({ leaf, index: 1, size, proof, root })).toBe(true);
    expect(verifyInclusion({ leaf, index: 0, size, proof: proof.slice(1), root })).toBe(false);
  });
});
