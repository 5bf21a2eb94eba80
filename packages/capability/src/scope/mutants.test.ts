import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Algebra } from './test-support/law.ts';
import { LAWS } from './test-support/law-table.ts';
import { FORM_LAWS } from './test-support/law-table-forms.ts';
import { MUTANTS, type Mutant } from './test-support/mutants.ts';

const laws = new Map([...LAWS, ...FORM_LAWS].map((law) => [law.name, law]));
const MOST_RUNS = 5000;
const SEED = 20_261_122;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'remit-mutants-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A copy of the algebra with one place changed, loaded. */
async function broken({ name, file, from, to }: Mutant): Promise<Algebra> {
  const folder = join(root, name.replaceAll(/[^a-z0-9]+/gi, '-'));
  await cp(import.meta.dirname, folder, {
    recursive: true,
    filter: (path) => !path.endsWith('.test.ts') && !path.endsWith('test-support'),
  });
  const path = join(folder, file);
  const source = await readFile(path, 'utf8');
  expect(source.split(from), `${file} holds this once: ${from}`).toHaveLength(2);
  await writeFile(
    path,
    source.replace(from, () => to),
  );
  return (await import(/* @vite-ignore */ pathToFileURL(join(folder, 'index.ts')).href)) as Algebra;
}

describe('a broken algebra', () => {
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant.laws, mutant] as const))(
    'in which %s breaks %j',
    async (_, names, mutant) => {
      const algebra = await broken(mutant);
      for (const name of names) {
        const law = laws.get(name) ?? expect.fail(`there is no law ${name}`);
        const options = { numRuns: MOST_RUNS, seed: SEED, endOnFailure: true };
        const { failed, runs, counterexample } = law.check(algebra, options);
        expect(failed, `${name} holds after ${runs} runs`).toBe(true);
        expect(counterexample).toBeDefined();
      }
    },
  );

  it('is caught by every law at least once', () => {
    const caught = new Set<string>(MUTANTS.flatMap((mutant) => mutant.laws));
    expect([...laws.keys()].filter((name) => !caught.has(name))).toEqual([]);
  });
});
