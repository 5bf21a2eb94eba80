import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REASONS } from '@remit/contracts';
import { describe, expect, it } from 'vitest';
import { attackTests, renderAttacks } from './attacks-doc.ts';
import { localCodes, renderErrorCodes } from './error-codes.ts';
import { renderDeploy } from './settings-doc.ts';
import { renderSubjects } from './subjects-doc.ts';

const root = join(import.meta.dirname, '../..');
const PAGES = ['*.md', 'docs/**/*.md', 'packages/*/README.md'];
const read = (file: string) => readFileSync(join(root, file), 'utf8');

describe('the documents', () => {
  it('docs/error-codes.md lists every code there is and no other', () => {
    expect(read('docs/error-codes.md')).toBe(renderErrorCodes(root));
  });

  it('docs/subjects.md is what the contracts say', () => {
    expect(read('docs/subjects.md')).toBe(renderSubjects());
  });

  it('docs/deploy.md lists every setting of every service as the code reads it', () => {
    const page = read('docs/deploy.md');
    expect(page).toBe(renderDeploy(page));
    expect(page).toContain('`REMIT_DATABASE_URL` or `REMIT_DATABASE_URL_FILE`');
  });

  it('docs/attacks.md lists every row, its tests and what is open', () => {
    expect(read('docs/attacks.md')).toBe(renderAttacks(root));
    // Red when the reader of test names finds none: everything would be open.
    expect(attackTests(root).size).toBeGreaterThan(35);
  });

  it('find the codes of each package that has an error class', () => {
    const found = localCodes(root).map((each) => each.package);
    expect(found).toContain('@remit/bus');
    expect(found).toContain('@remit/pep');
    expect(found.length).toBeGreaterThan(10);
  });

  it('name each reason somewhere in the code that decides', () => {
    const sources = globSync('{packages,services}/*/src/**/*.ts', { cwd: root })
      .filter((file) => !file.endsWith('.test.ts') && !file.endsWith('/reasons.ts'))
      .map(read)
      .join('\n');
    const unused = Object.keys(REASONS).filter(
      (reason) => !new RegExp(`['"\`]${reason}['"\`]`).test(sources),
    );
    expect(unused).toEqual([]);
  });

  it('link only to files that are there', () => {
    const broken = globSync(PAGES, { cwd: root }).flatMap((file) =>
      [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
        .map(([, target = '']) => join(dirname(file), target))
        .filter((target) => !existsSync(join(root, target)))
        .map((target) => `${file} → ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('link only to sections that are there', () => {
    const broken = globSync(PAGES, { cwd: root }).flatMap((file) =>
      [...read(file).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)]
        .filter(([, target = '', section = '']) => {
          const text = read(target === '' ? file : join(dirname(file), target));
          return !sections(text).includes(section);
        })
        .map(([link]) => `${file} → ${link}`),
    );
    expect(broken).toEqual([]);
  });

  // What the PEP and the CLI print on a refusal points there.
  it('docs/error-codes.md has a section for each reason', () => {
    const anchors = sections(read('docs/error-codes.md'));
    expect(Object.keys(REASONS).filter((reason) => !anchors.includes(reason))).toEqual([]);
  });
});

/** What a link to a document may name: its headings as they are slugged, and its anchors. */
function sections(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
  const anchors = [...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id);
  return [...headings, ...anchors];
}
