import type { Refused } from './enforce.ts';

/** The call may not happen. `refused` holds what may be shown to the caller. */
export class AccessDenied extends Error {
  override readonly name = 'AccessDenied';
  readonly refused: Refused;

  constructor(refused: Refused, cause?: unknown) {
    super(`${refused.explanation} (${refused.reason}, decision ${refused.id})`, { cause });
    this.refused = refused;
  }
}
