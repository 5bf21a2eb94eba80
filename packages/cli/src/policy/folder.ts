import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CliError } from '../error.ts';

/**
 * The files of a policy set: `*.cedar`, and `tests/*.yaml`. Everything else in the folder is left out.
 * Throws CliError `USAGE` where there is no such folder, or no policy in it.
 */
export function readPolicyFolder(folder: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of names(folder, '.cedar'))
    files[name] = readFileSync(join(folder, name), 'utf8');
  if (Object.keys(files).length === 0)
    throw new CliError(
      'USAGE',
      `${folder} holds no .cedar file. A policy set is a folder of them.`,
    );
  for (const name of names(join(folder, 'tests'), '.yaml'))
    files[`tests/${name}`] = readFileSync(join(folder, 'tests', name), 'utf8');
  return files;
}

function names(folder: string, ending: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => entry.name)
    .toSorted();
}
