import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIdTable, type IdEntry, NEVER } from './id-table.ts';

const random = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('base64url'));
// Few distinct ids, so that they meet; odd ones, so that both stores are used; and texts that
// differ from a canonical id in the bits that base64url would drop.
const id = fc.oneof(
  random.map((text) => `${text.slice(0, 20)}AA`),
  fc.constantFrom('AAAAAAAAAAAAAAAAAAAAAA', 'AAAAAAAAAAAAAAAAAAAAAB', 'AAAAAAAAAAAAAAAAAAAAA='),
  fc.constantFrom('', 'x', 'ünïcödé-of-22-chars-!!', 'task_AAAAAAAAAAAAAAAAAAAAAA'),
);
const entry = fc.record({
  seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  ends: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant(NEVER)),
  mark: fc.constantFrom(0, 1),
});
const step = fc.oneof(
  { weight: 20, arbitrary: fc.record({ id, entry }) },
  { weight: 1, arbitrary: fc.record({ sweep: fc.integer({ min: 0, max: 100 }) }) },
);

describe('the table of ids', () => {
  it('holds what a map would hold, whatever is put in and swept', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 400 }),
        fc.integer(),
        fc.constantFrom('', 'task_'),
        (steps, seed, prefix) => {
          const table = createIdTable(prefix, seed | 0);
          const model = new Map<string, IdEntry>();
          for (const one of steps) {
            if ('sweep' in one) {
              table.sweep(one.sweep);
              for (const [key, { ends }] of model) if (ends < one.sweep) model.delete(key);
              continue;
            }
            const key = `${prefix}${one.id}`;
            const old = model.get(key);
            const first = old && old.seq <= one.entry.seq ? old : one.entry;
            model.set(key, { ...first, ends: Math.max(old?.ends ?? 0, one.entry.ends) });
            table.add(key, one.entry);
          }
          expect(table.size()).toBe(model.size);
          for (const [key, value] of model) expect(table.get(key)).toEqual(value);
          expect(table.get('absent')).toBeUndefined();
        },
      ),
      { numRuns: 300 },
    );
  });

  it('keeps 100,000 random ids apart', () => {
    const table = createIdTable('', 1);
    const idOf = (n: number) => {
      const bytes = Buffer.alloc(16);
      bytes.writeUInt32LE(n, 12);
      return bytes.toString('base64url');
    };
    for (let n = 0; n < 100_000; n++) table.add(idOf(n), { seq: n + 1, ends: NEVER, mark: 0 });
    expect(table.size()).toBe(100_000);
    for (let n = 0; n < 100_000; n += 997) expect(table.get(idOf(n))?.seq).toBe(n + 1);
    expect(table.has(idOf(100_000))).toBe(false);
  });
});
