/** What may be done with a nats-server of some version. */
export type NatsVersionVerdict = 'current' | 'old' | 'refused';

/** Reads the version that `nats-server --version` prints. Undefined when there is none. */
export function parseNatsVersion(output: string): string | undefined {
  return /\bv?(\d+\.\d+\.\d+)\b/.exec(output)?.[1];
}

/**
 * `current`: 2.12.12 and later of 2.12, or 2.14.3 and later: past every published advisory.
 * `old`: from 2.10: good enough on loopback, with a warning. `refused`: lacks what Remit relies on.
 */
export function judgeNatsVersion(version: string): NatsVersionVerdict {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major > 2 || (major === 2 && minor > 14)) return 'current';
  if (major === 2 && minor === 14) return patch >= 3 ? 'current' : 'old';
  if (major === 2 && minor === 12 && patch >= 12) return 'current';
  return major === 2 && minor >= 10 ? 'old' : 'refused';
}
