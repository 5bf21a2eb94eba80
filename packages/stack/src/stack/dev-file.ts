import { readFileSync } from 'node:fs';
import { conform, type DevFile, devFile } from '@remit/contracts';
import { StackError } from '../error.ts';
import { writeSecret } from '../keys/key-files.ts';

/** Writes `dev.json` (0600). Throws ContractError `SCHEMA_MISMATCH` when it is not one. */
export function writeDevFile(file: string, content: DevFile): void {
  writeSecret(file, conform(devFile, content));
}

/** Reads `dev.json`. Throws StackError `CONFIG_INVALID` when it is not there or not one. */
export function readDevFile(file: string): DevFile {
  try {
    return conform(devFile, JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new StackError(
      'CONFIG_INVALID',
      `${file} can't be read: is the stack running? npm start brings it up and writes it.`,
      { cause },
    );
  }
}
