import { stripVTControlCharacters } from 'node:util';

const WIDTH = 110;
const MARGIN = 4;
const LABEL = 8;

const width = (text: string) => stripVTControlCharacters(text).length;

/**
 * Breaks a text at its spaces into lines of at most 110 columns. With `parts`, breaks between them
 * instead and keeps each whole where it fits on a line, two spaces apart.
 */
export function wrap(text: string, options: { indent: number; parts?: string[] }): string[] {
  const { parts } = options;
  const gap = parts ? '  ' : ' ';
  const lines: string[] = [];
  for (const word of parts ?? text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && width(last + gap + word) <= WIDTH)
      lines[lines.length - 1] = last + gap + word;
    else lines.push(' '.repeat(options.indent) + word);
  }
  return lines;
}

/** Where the text beside a label begins. */
export const TEXT_AT = MARGIN + LABEL;

/** Lines beside a word of at most seven letters, which stands in front of the first. */
export function columns(label: string, lines: string[]): string[] {
  const broken = lines.flatMap((line) => {
    const lead = line.length - line.trimStart().length;
    return wrap(line.trimStart(), { indent: TEXT_AT + lead });
  });
  const head = `${' '.repeat(MARGIN)}${label.padEnd(LABEL)}`;
  return broken.map((line, index) => (index === 0 ? head + line.slice(TEXT_AT) : line));
}
