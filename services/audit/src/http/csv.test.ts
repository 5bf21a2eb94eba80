import fc from 'fast-check';
import { expect, test } from 'vitest';
import { csvRow } from './csv.ts';

test('a cell that a spreadsheet would calculate is text', () => {
  for (const start of [
    '=',
    '+',
    '-',
    '@',
    '\t=',
    '\r=',
    ' =',
    '\n=',
    '\u0000=',
    '\uff1d',
    '\u200b=',
  ]) {
    const [, cell = ''] = /^"(.*)"\r\n$/.exec(csvRow([`${start}cmd|' /C calc'!A0`])) ?? [];
    expect(cell.startsWith("'"), JSON.stringify(start)).toBe(true);
  }
  expect(csvRow(['a=b', 'x', 7, null])).toBe('"a=b","x","7",""\r\n');
});

test('whatever a cell holds, it is one cell of one row', () => {
  const cells = fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(cells, (row) => {
      const text = csvRow(row);
      expect(text.endsWith('"\r\n')).toBe(true);
      const inner = text.slice(1, -3);
      expect(inner).not.toMatch(/[\r\n\u2028\u2029]/);
      const parts = [...text.matchAll(/"((?:[^"]|"")*)"(?:,|\r\n)/g)].map(([, part]) => part);
      expect(parts).toHaveLength(row.length);
      for (const part of parts) expect(part).not.toMatch(/^\s*[=+@-]/);
    }),
  );
});
