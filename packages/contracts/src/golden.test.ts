import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AUDIT_EVENTS, auditRecord, commitmentsOf, recordText } from './audit.ts';
import { parseJsonStrict } from './json.ts';
import { matches } from './schema.ts';

// At least one line of the ledger per kind of event, in the canonical bytes that are hashed. A file is
// never changed: a verifier of any later version must read it, and hash it to the same leaf. A member
// that comes later gets a file of its own, `<event>.2.jcs`.

const folder = join(import.meta.dirname, '..', 'golden');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

const files = readdirSync(folder).toSorted();
const eventOf = (file: string): string => file.replace(/(\.\d+)?\.jcs$/, '');

describe('the golden records', () => {
  it('are at least one for each event, and none for another', () => {
    expect([...new Set(files.map(eventOf))].toSorted()).toEqual([...AUDIT_EVENTS].toSorted());
  });

  for (const file of files) {
    it(`${file} is a record in its canonical bytes`, () => {
      const text = read(file);
      const record = parseJsonStrict(text);
      if (!matches(auditRecord, record)) throw new Error(`${file} is no record`);
      expect(record.event).toBe(eventOf(file));
      expect(recordText(record)).toBe(text);
      // A personal value is a commitment wherever one may stand.
      for (const { c } of commitmentsOf(record).values()) expect(c).toMatch(/^[A-Za-z0-9_-]{43}$/);
    });
  }

  it('hold every member of a record', () => {
    const used = new Set(
      files.flatMap((file) => Object.keys(parseJsonStrict(read(file)) as object)),
    );
    expect([...used].toSorted()).toEqual(Object.keys(auditRecord.properties).toSorted());
  });
});
