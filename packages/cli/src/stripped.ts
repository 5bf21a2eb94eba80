import { stripVTControlCharacters } from 'node:util';

/** CWE-117 and CWE-150: what somebody called something can't fake a line or move the cursor. */
export function stripped(text: string): string {
  return stripVTControlCharacters(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '');
}
