import { readFileSync } from 'node:fs';
import { conform, type DevFile, type TrustFile, trustFile } from '@remit/contracts';
import { CliError } from '../error.ts';
import type { Said } from '../policy/commands.ts';
import { stripped } from '../stripped.ts';
import { type Check, lookAtKeys, lookAtService } from './checks.ts';

const SERVICES = ['registry', 'pdp', 'revocation', 'issuer', 'audit'] as const;
type ServiceName = (typeof SERVICES)[number];
export type Deployment = { urls: Partial<Record<ServiceName, string>>; trustFile: string };

/** Keys of the trust file that a service publishes. */
const PINNED: Record<Exclude<ServiceName, 'issuer'>, readonly (keyof TrustFile['keys'])[]> = {
  registry: ['registry', 'envelope'],
  pdp: ['pdp'],
  revocation: ['revocation'],
  audit: ['audit_mark', 'checkpoint'],
};

/**
 * A deployment by `REMIT_URLS` (`pdp=https://…,audit=https://…`, without tenants) and `REMIT_TRUST_FILE`,
 * otherwise the development stack. Throws CliError `USAGE`.
 */
export function deploymentOf(dev: () => DevFile): Deployment {
  const named = process.env['REMIT_URLS'];
  if (!named) {
    const { urls, trust_file } = dev();
    return { urls: pickServices(Object.entries(urls)), trustFile: trust_file };
  }
  const file = process.env['REMIT_TRUST_FILE'];
  if (!file)
    throw new CliError(
      'USAGE',
      'REMIT_URLS is set, but not REMIT_TRUST_FILE, the keys to believe.',
    );
  const pairs = named.split(',').map((pair): [string, string] => {
    const at = pair.indexOf('=');
    if (at < 1) throw new CliError('USAGE', `REMIT_URLS wants name=url, not ${pair}.`);
    return [
      pair.slice(0, at).trim(),
      pair
        .slice(at + 1)
        .trim()
        .replace(/\/$/, ''),
    ];
  });
  return { urls: pickServices(pairs), trustFile: file };
}

function pickServices(pairs: readonly [string, string][]): Deployment['urls'] {
  return Object.fromEntries(pairs.filter(([name]) => SERVICES.some((known) => known === name)));
}

/**
 * `doctor`: looks at every service from outside, signs in nowhere and changes nothing: reachability and
 * readiness, clocks, versions, published keys against the trust file, certificates, spools and alarms.
 * `ok` is false for every fault.
 */
export async function doctor(deployment: Deployment): Promise<Said & { ok: boolean }> {
  const trust = readTrust(deployment.trustFile);
  const found = await Promise.all(
    SERVICES.map(async (name) => {
      const url = deployment.urls[name];
      if (!url) return { checks: [missing(name)] };
      const looked = await lookAtService(name, url);
      if (looked.version === undefined || name === 'issuer') return looked;
      const pinned = PINNED[name].flatMap((part) => trust.keys[part]);
      return {
        ...looked,
        checks: [...looked.checks, await lookAtKeys(name, url, pinned, name === 'revocation')],
      };
    }),
  );
  const checks = [...found.flatMap(({ checks: these }) => these), versions(found)];
  const ok = checks.every(({ state }) => state !== 'fault');
  return { data: { ok, checks }, ok, text: inWords(checks) };
}

function missing(name: string): Check {
  return {
    what: name,
    state: 'warning',
    found: 'no URL was given',
    advice: 'Name it in REMIT_URLS.',
  };
}

function versions(found: readonly { version?: string }[]): Check {
  const all = [...new Set(found.flatMap(({ version }) => version ?? []))];
  const what = 'versions';
  if (all.length <= 1) return { what, state: 'ok', found: all[0] ?? 'unknown' };
  return {
    what,
    state: 'warning',
    found: all.join(', '),
    advice: 'An upgrade is under way, or stopped half way.',
  };
}

function readTrust(file: string): TrustFile {
  try {
    return conform(trustFile, JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new CliError('USAGE', `${file} cannot be read as a trust file.`, { cause });
  }
}

const MARKS = { ok: 'ok     ', warning: 'WARNING', fault: 'FAULT  ' } as const;

function inWords(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ what }) => what.length));
  const lines = checks.flatMap(({ what, state, found, advice }) => [
    `${MARKS[state]}  ${what.padEnd(width)}  ${stripped(found)}`,
    ...(advice === undefined ? [] : [`${' '.repeat(width + 11)}→ ${advice}`]),
  ]);
  const faults = checks.filter(({ state }) => state === 'fault').length;
  const warnings = checks.filter(({ state }) => state === 'warning').length;
  return [...lines, '', `${faults} faults, ${warnings} warnings.`].join('\n');
}
