import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tenantId } from '@remit/contracts';
import type { PolicyFiles } from '../store/tables.ts';

/**
 * Reads `<dir>/<tenant>/policies/*.cedar` and `<dir>/<tenant>/policies/tests/*.yaml`. A tenant without
 * Cedar files is left out. Checks nothing of the content. Throws what the disk says, and ContractError
 * for a folder that is no tenant id.
 */
export function readPolicyFolders(dir: string): { tenant: string; files: PolicyFiles }[] {
  const tenants = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => tenantId(entry.name))
    .toSorted();
  return tenants
    .map((tenant) => {
      const folder = join(dir, tenant, 'policies');
      const files: PolicyFiles = {};
      for (const name of names(folder, '.cedar'))
        files[name] = readFileSync(join(folder, name), 'utf8');
      for (const name of names(join(folder, 'tests'), '.yaml'))
        files[`tests/${name}`] = readFileSync(join(folder, 'tests', name), 'utf8');
      return { tenant, files };
    })
    .filter(({ files }) => Object.keys(files).some((name) => name.endsWith('.cedar')));
}

function names(folder: string, ending: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
      .map((entry) => entry.name)
      .toSorted();
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return [];
    throw error;
  }
}
