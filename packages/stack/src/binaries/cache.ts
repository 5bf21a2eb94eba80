import { accessSync, constants, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { StackError } from '../error.ts';

/**
 * Where downloaded programs are kept: `REMIT_CACHE_DIR`, else `$XDG_CACHE_HOME/remit`, else
 * `~/.cache/remit`. Made if it is not there (0755: `nobody` may have to run what lies in it).
 * Throws StackError `CONFIG_INVALID` when it can't be written.
 */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  const dir =
    env['REMIT_CACHE_DIR'] ?? join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'remit');
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    accessSync(dir, constants.W_OK);
  } catch (cause) {
    throw new StackError(
      'CONFIG_INVALID',
      `the cache folder ${dir} can't be written: set REMIT_CACHE_DIR to a folder that can.`,
      { details: { dir }, cause },
    );
  }
  return dir;
}
