import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AUDIT_EVENTS, auditRecord, commitmentsOf, recordText } from './audit.ts';
import { parseJsonStrict } from './json.ts';
import { matches } from './schema.ts';

// One line of the ledger per kind of event, in the canonical bytes that are hashed. A file is never
// changed: a verifier of any later version must read it, and hash it to the same leaf.

const folder = join(import.meta.dirname, '..', 'golden');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

describe('the golden records', () => {
  it('are one for each event, and none for another', () => {
    expect(readdirSync(folder).toSorted()).toEqual(
      AUDIT_EVENTS.map((event) => `${event}.jcs`).toSorted(),
    );
  });

  for (const event of AUDIT_EVENTS) {
    it(`${event} is a record in its canonical bytes`, () => {
      const text = read(`${event}.jcs`);
      const record = parseJsonStrict(text);
      if (!matches(auditRecord, record)) throw new Error(`${event}.jcs is no record`);
      expect(record.event).toBe(event);
      expect(recordText(record)).toBe(text);
      // A personal value is a commitment wherever one may stand.
      for (const { c } of commitmentsOf(record).values()) expect(c).toMatch(/^[A-Za-z0-9_-]{43}$/);
    });
  }

  it('hold every member of a record', () => {
    const used = new Set(
      AUDIT_EVENTS.flatMap((event) =>
        Object.keys(parseJsonStrict(read(`${event}.jcs`)) as object),
      ),
    );
    expect([...used].toSorted()).toEqual(Object.keys(auditRecord.properties).toSorted());
  });
});
