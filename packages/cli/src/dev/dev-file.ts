import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { conform, type DevFile, devFile } from '@remit/contracts';
import { CliError } from '../error.ts';

/**
 * Reads the `.remit/dev.json` of the directory or of one above it.
 * Throws CliError `DEV_FILE_MISSING`.
 */
export function readDevFile(from: string): DevFile {
  for (let dir = from; ; dir = dirname(dir)) {
    let text: string;
    try {
      text = readFileSync(join(dir, '.remit', 'dev.json'), 'utf8');
    } catch {
      if (dirname(dir) === dir) break;
      continue;
    }
    try {
      return conform(devFile, JSON.parse(text));
    } catch (cause) {
      throw new CliError(
        'DEV_FILE_MISSING',
        `${join(dir, '.remit', 'dev.json')} was written by another version. Run "npm start -- --reset".`,
        { cause },
      );
    }
  }
  throw new CliError(
    'DEV_FILE_MISSING',
    'No stack is running here. Run "npm start" in another terminal first.',
  );
}
