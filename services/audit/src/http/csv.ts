/** A spreadsheet reads a cell that begins with one of these as a formula. */
const FORMULA = /^[\s\p{Cc}\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20]/u;
/** What would begin another row, or hide what stands beside it. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * One row of CSV (RFC 4180), every cell quoted. A cell that a spreadsheet would calculate gets an
 * apostrophe in front, and no cell holds a line break or a character that hides others.
 */
export function csvRow(cells: readonly (string | number | null)[]): string {
  return `${cells.map(cell).join(',')}\r\n`;
}

function cell(value: string | number | null): string {
  if (typeof value === 'number') return `"${value}"`;
  const plain = (value ?? '').replace(UNPRINTABLE, ' ');
  const safe = FORMULA.test(value ?? '') || FORMULA.test(plain) ? `'${plain}` : plain;
  return `"${safe.replaceAll('"', '""')}"`;
}
