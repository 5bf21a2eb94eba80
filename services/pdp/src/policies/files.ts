import { canonicalText, sha256 } from '@remit/contracts';
import type { PolicyProblem } from '../cedar/guardrails.ts';
import { PdpError } from '../errors.ts';
import type { PolicyFiles } from '../store/tables.ts';

const CEDAR = /^[a-z0-9][a-z0-9_-]{0,63}\.cedar$/;
const TESTS = /^tests\/[a-z0-9][a-z0-9_-]{0,63}\.yaml$/;
const MAX_FILES = 256;

/** Largest set, bytes of all files. */
export const MAX_SET_BYTES = 1_048_576;

/** The version of a set: SHA-256 of its files' canonical JSON, tests included. */
export function versionOf(files: PolicyFiles): string {
  return sha256(canonicalText(files));
}

/**
 * Splits a set into its Cedar files and its tests. Checks names, number and size, nothing of the
 * content. Throws PdpError `POLICY_INVALID`.
 */
export function splitFiles(files: PolicyFiles): { cedar: PolicyFiles; tests: PolicyFiles } {
  const names = Object.keys(files);
  const problems: PolicyProblem[] = [];
  const say = (file: string, message: string) =>
    void problems.push({ file, line: 1, column: 1, message });
  for (const name of names) {
    if (!CEDAR.test(name) && !TESTS.test(name))
      say(name.slice(0, 128), 'a set holds NAME.cedar and tests/NAME.yaml, in small letters');
  }
  const bytes = Object.values(files).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (names.length > MAX_FILES) say('', `a set holds at most ${MAX_FILES} files`);
  if (bytes > MAX_SET_BYTES) say('', `a set holds at most ${MAX_SET_BYTES} bytes`);
  if (problems.length > 0)
    throw new PdpError('POLICY_INVALID', 'the policy set is not acceptable', { problems });
  const pick = (pattern: RegExp) =>
    Object.fromEntries(Object.entries(files).filter(([name]) => pattern.test(name)));
  return { cedar: pick(CEDAR), tests: pick(TESTS) };
}
