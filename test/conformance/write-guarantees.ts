import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Figures, withFigures } from './guarantees-doc.ts';

/** Writes the figures of a bench (`npm run bench -- … --json FILE`) into docs/guarantees.md. */
const [file] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('node test/conformance/write-guarantees.ts FILE\n');
  process.exit(2);
}
const page = join(import.meta.dirname, '../../docs/guarantees.md');
const figures = JSON.parse(readFileSync(file, 'utf8')) as Figures;
writeFileSync(page, withFigures(readFileSync(page, 'utf8'), figures));
