import { BusError } from './error.ts';

/**
 * What a server's version is good for: `current` is past every published advisory (2.12.12 and later
 * of 2.12, 2.14.3 and later), `old` is from 2.10, `refused` lacks what Remit relies on.
 */
export type ServerVerdict = 'current' | 'old' | 'refused';

/** Judges a version text such as `2.12.12` or `2.15.0-preview.1`; what can't be read is refused. */
export function judgeServerVersion(version: string): ServerVerdict {
  const match = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/.exec(version);
  if (match === null) return 'refused';
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number];
  if (major > 2) return 'current';
  if (major < 2 || minor < 10) return 'refused';
  if (minor > 14) return 'current';
  if (minor === 14) return patch >= 3 ? 'current' : 'old';
  if (minor === 12) return patch >= 12 ? 'current' : 'old';
  return 'old';
}

/**
 * Checks the version that a server announced. Returns a warning to log, or undefined.
 * Throws BusError `SERVER_TOO_OLD` below 2.10, and in production for every version with published
 * weaknesses. Does not know where the server listens: an old one is for loopback only.
 */
export function assertServerVersion(
  info: { version: string },
  options: { production: boolean },
): string | undefined {
  const verdict = judgeServerVersion(info.version);
  if (verdict === 'current') return undefined;
  if (verdict === 'refused' || options.production) {
    throw new BusError(
      'SERVER_TOO_OLD',
      `nats-server ${info.version} is not acceptable here: use 2.12.12, 2.14.3 or newer`,
      { details: { version: info.version, production: options.production } },
    );
  }
  return `nats-server ${info.version} has published weaknesses; fine on loopback, never beyond: use 2.12.12, 2.14.3 or newer`;
}
