import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { revocations } from '../bench/cases/revoke.ts';
import { INVARIANTS } from '../faults/checkers/index.ts';
import { withFigures } from './guarantees-doc.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/guarantees.md'), 'utf8');

describe('docs/guarantees.md', () => {
  it('has a row for each invariant that is checked, and no other', () => {
    const rows = [...page.matchAll(/^\| (I\d+) \|/gm)].map(([, id]) => id);
    expect(rows).toEqual(Object.keys(INVARIANTS));
  });

  it('names files and commands that are there', () => {
    for (const [, file = ''] of page.matchAll(/`((?:test|services|docs)\/[\w./-]+)`/g)) {
      expect(existsSync(join(root, file)), file).toBe(true);
    }
    for (const [, file = ''] of page.matchAll(/node ((?:test|services)\/[\w./-]+\.ts)/g)) {
      expect(existsSync(join(root, file)), file).toBe(true);
    }
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const verbs = [...page.matchAll(/npm run ([\w-]+)/g)].map(([, verb = '']) => verb);
    expect(verbs).toContain('faults');
    for (const verb of verbs) expect(Object.keys(scripts)).toContain(verb);
  });

  it('shows a figure only of a case that there is', () => {
    const known = revocations.map(({ name }) => name);
    const shown = [...page.matchAll(/^\| `((?:revoke|reconnect|catch-up)-[\w-]+)` \|/gm)];
    for (const [, name = ''] of shown) expect(known).toContain(name);
  });

  it('takes figures into its marks, and stays as it is around them', () => {
    const of = { p50Us: 1_500, p99Us: 20_000, p999Us: 30_000, perSecond: 1, operations: 100 };
    const measured = { says: 's', baselineSays: 'b', subject: of, baseline: of, ratio: 1 };
    const results = ['revoke-0001', 'revoke-1000'].map((name) => ({
      ...measured,
      name,
      targetRatio: 3,
    }));
    const machine = { cpu: 'c', cores: 2, node: '24' };
    const written = withFigures(page, { machine, at: '2026-01-02T03', load: [1], results });
    expect(written).toContain('| `revoke-1000` | 1.50 | 20 | 30 | 1.50 | 1 × | ≤ 3 × | 100 |');
    expect(written).toContain('p50 about 15 ms, p99 about 200 ms');
    expect(withFigures(written, { machine, at: '2026-01-02T03', load: [1], results })).toBe(
      written,
    );
    expect(written.replace(/<!-- (figures|paper) -->[^]*?<!-- \/\1 -->/g, '')).toBe(
      page.replace(/<!-- (figures|paper) -->[^]*?<!-- \/\1 -->/g, ''),
    );
  });
});
