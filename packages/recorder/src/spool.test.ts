import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSpool, type Spool, type SpoolEntry } from './spool.ts';

const BOOT = 'a'.repeat(32);
const NEXT = 'b'.repeat(32);
const OPTIONS = { maxBytes: 40_000, verifiedShare: 0, segmentBytes: 2_000 };
let dir: string;
let spool: Spool;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'remit-spool-'));
});
afterEach(async () => {
  await spool.close();
  rmSync(dir, { recursive: true });
});

function open(boot = BOOT): Spool {
  spool = openSpool({ ...OPTIONS, dir, boot });
  return spool;
}

async function append(tenant: string, size = 100): Promise<SpoolEntry> {
  const { entry } = await spool.append({
    tenant,
    event: 'decision',
    id: 'id',
    trust: 'verified',
    encode: (n) => JSON.stringify({ n, fill: 'x'.repeat(size) }),
  });
  return entry;
}

const files = (): string[] => readdirSync(dir).filter((name) => name.endsWith('.spool'));

describe('a spool', () => {
  it('numbers each tenant by itself and gives back what was written', async () => {
    open();
    const written = await Promise.all(['a', 'b', 'a', 'a', 'b'].map((tenant) => append(tenant)));
    expect(written.map(({ tenant, n }) => `${tenant}${n}`)).toEqual(['a1', 'b1', 'a2', 'a3', 'b2']);
    expect(spool.lastNumber('a')).toBe(3);
    for (const entry of written) {
      expect(await spool.read(entry)).toBe(JSON.stringify({ n: entry.n, fill: 'x'.repeat(100) }));
    }
  });

  it('goes on in another file when one is full, and deletes a file with its last entry', async () => {
    open();
    const entries: SpoolEntry[] = [];
    for (let i = 0; i < 40; i++) entries.push(await append('a'));
    expect(files().length).toBeGreaterThan(2);
    await Promise.all([spool.sync(), spool.sync(), spool.sync()]);
    for (const entry of entries) spool.release(entry);
    expect(files().length).toBe(1);
    expect(spool.stats().liveBytes).toBe(0);
  });

  // The folder grows without end when carryForward() does nothing.
  it('does not let one stuck tenant pin the files of the others', async () => {
    open();
    const stuck: SpoolEntry[] = [];
    for (let i = 0; i < 400; i++) {
      if (i % 40 === 0) stuck.push(await append('stuck'));
      spool.release(await append('busy'));
    }
    const { liveBytes, diskBytes } = spool.stats();
    expect(diskBytes).toBeLessThan(liveBytes * 4 + 3 * OPTIONS.segmentBytes);
    for (const entry of stuck) {
      expect(await spool.read(entry)).toBe(JSON.stringify({ n: entry.n, fill: 'x'.repeat(100) }));
    }
    await spool.close();
    const left = open(NEXT).leftovers.filter(({ tenant }) => tenant === 'stuck');
    expect(left.map(({ n }) => n)).toEqual(stuck.map(({ n }) => n));
  });

  it('finds after a restart what was not released, in the order of its numbers, and counts anew', async () => {
    open();
    const entries: SpoolEntry[] = [];
    for (let i = 0; i < 30; i++) entries.push(await append(i % 2 === 0 ? 'a' : 'b'));
    for (const entry of entries.slice(0, 29)) spool.release(entry);
    await spool.close();
    open(NEXT);
    const left = spool.leftovers.filter(({ n, tenant }) => tenant === 'b' && n === 15);
    expect(left).toHaveLength(1);
    const all = spool.leftovers.map(({ n }) => n);
    expect(all).toEqual(all.toSorted((a, b) => a - b));
    expect(left[0]).toMatchObject({ boot: BOOT, event: 'decision', id: 'id' });
    expect((await append('b')).n).toBe(1);
  });

  it('takes over the claim of a process that is gone, and not of one that lives', async () => {
    writeFileSync(join(dir, 'lock'), JSON.stringify({ pid: 2 ** 22 + 1, started: '1', host: 'x' }));
    await open().close();
    const stat = execFileSync('cat', [`/proc/${process.ppid}/stat`], { encoding: 'utf8' });
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    const claim = { pid: process.ppid, started, host: hostname() };
    writeFileSync(join(dir, 'lock'), JSON.stringify(claim));
    expect(() => open()).toThrow(expect.objectContaining({ code: 'SPOOL_IN_USE' }));
    writeFileSync(join(dir, 'lock'), JSON.stringify({ ...claim, started: '1' }));
    open();
  });

  it('refuses while the disk takes nothing, and goes on without a gap when it does again', () => {
    // A process whose files may have 16 blocks stands in for a full disk: the large record finds no room.
    const child = `
      const { openSpool } = await import(${JSON.stringify(join(import.meta.dirname, 'spool.ts'))});
      const spool = openSpool({ dir: ${JSON.stringify(dir)}, boot: '${BOOT}', maxBytes: 1e6, verifiedShare: 0, segmentBytes: 1e6 });
      const kept = [], refused = [];
      const one = (size) => spool.append({ tenant: 'a', event: 'decision', id: 'i', trust: 'verified',
        encode: (n) => JSON.stringify({ n, fill: 'x'.repeat(size) }) })
        .then(({ entry }) => kept.push(entry.n), (error) => refused.push(error.code));
      await one(1000); await one(1000);
      await Promise.all([one(50_000), one(10)]);
      await one(1000);
      await spool.sync();
      console.log(JSON.stringify({ kept, refused, broken: spool.stats().broken }));
      await spool.close();`;
    const out = execFileSync(
      'sh',
      [
        '-c',
        `trap '' XFSZ; ulimit -f 16; exec "$0" --input-type=module -e "$1"`,
        process.execPath,
        child,
      ],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
    );
    expect(JSON.parse(out)).toEqual({
      kept: [1, 2, 3, 4],
      refused: ['AUDIT_UNAVAILABLE'],
      broken: false,
    });
    // What was written of the large one is cut off again.
    expect(statSync(join(dir, files()[0] as string)).size).toBeLessThan(4_000);
    open(NEXT);
    expect(spool.leftovers.map(({ n }) => n)).toEqual([1, 2, 3, 4]);
    expect(spool.corrupt).toBe(0);
  });
});
