import { CliError } from '../error.ts';
import { ask, type Service } from '../service.ts';

export type Version = {
  number: number;
  version: string;
  author: string;
  message: string;
  created_at: string;
};
export type Versions = { active?: { number: number; version: string }; versions: Version[] };

export const listVersions = (pdp: Service) => ask<Versions>(pdp, 'GET', '/admin/v1/policies');

const SHORT = 12;

/** How a version is called in a terminal. */
export const short = (version: string): string => version.slice(0, SHORT);

/**
 * A version by its number, `active`, or the beginning of its hash. Throws CliError `NOT_FOUND` and
 * `USAGE` where it is not one.
 */
export function pick({ active, versions }: Versions, named: string): string {
  if (named === 'active' && active) return active.version;
  const found = /^[1-9][0-9]{0,8}$/.test(named)
    ? versions.filter(({ number }) => number === Number(named))
    : versions.filter(({ version }) => named.length >= 4 && version.startsWith(named));
  if (found.length > 1)
    throw new CliError('USAGE', `${named} begins ${found.length} versions: give more of it.`);
  if (found[0]) return found[0].version;
  const numbers = versions.map(({ number }) => number).join(', ');
  throw new CliError(
    'NOT_FOUND',
    numbers
      ? `There is no version ${named}. There are ${numbers}; "remit policy list" tells more.`
      : 'The tenant has no versions yet. Make one with "remit policy push FOLDER".',
  );
}
