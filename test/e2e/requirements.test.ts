import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@remit/stack';
import { describe, expect, it } from 'vitest';
import { requirements } from './requirements.ts';

const read = (file: string) => readFileSync(join(repositoryRoot, file), 'utf8');
const CALL = /\bverifies\('([^']+)'\)/g;
const called = new Set(
  globSync(['test/**/*.ts', 'demo/**/*.ts'], {
    cwd: repositoryRoot,
    exclude: ['**/node_modules/**', 'test/e2e/requirements*.ts'],
  }).flatMap((file) => [...read(file).matchAll(CALL)].map(([, id]) => id as string)),
);

/** Whether a file has a test of exactly this title, which runs. */
function proves(file: string, title: string): boolean {
  if (!existsSync(join(repositoryRoot, file))) return false;
  const quoted = [`'${title}'`, `"${title}"`, `\`${title}\``];
  return read(file)
    .split('\n')
    .some((line, index, lines) => {
      if (!quoted.some((text) => line.includes(`${text},`))) return false;
      const before = `${lines[index - 1] ?? ''}\n${line}`;
      return (
        /\b(?:it|test)(?:\.each|\.runIf)?\b|^\s*\]?\)\(/m.test(before) &&
        !/\.(?:skip|todo|fails)\b/.test(before)
      );
    });
}

describe('the promises of the product', () => {
  // Shown to go red by taking a verifies() away, and by renaming a test that provenBy names.
  it.each(Object.entries(requirements))(
    '%s is kept by a test',
    (id, { promise, source, provenBy }) => {
      expect(promise).toMatch(/^[A-Z].*\.$/);
      expect(source.length).toBeGreaterThan(3);
      const kept =
        called.has(id) || (provenBy !== undefined && proves(provenBy.file, provenBy.title));
      expect(kept, provenBy ? `${provenBy.file}: ${provenBy.title}` : 'no verifies()').toBe(true);
    },
  );

  it('are all that tests say they keep', () => {
    expect([...called].filter((id) => !Object.hasOwn(requirements, id))).toEqual([]);
  });

  it('a test that is not there, or does not run, proves nothing', () => {
    expect(proves('test/e2e/requirements.test.ts', 'are all that tests say they keep')).toBe(true);
    expect(proves('test/e2e/requirements.test.ts', 'is not there')).toBe(false);
    expect(proves('test/e2e/nowhere.test.ts', 'are all that tests say they keep')).toBe(false);
  });
});
