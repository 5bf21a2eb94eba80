import type { Asked } from './decide.ts';
import type { Refused } from './enforce.ts';

/**
 * The call may not happen. `refused` holds what may be shown to the caller; the message adds nothing to
 * it but what the caller asked for itself, so it may be shown as well. What the token allows, bounds
 * and policies stand in the record of the decision.
 */
export class AccessDenied extends Error {
  override readonly name = 'AccessDenied';
  /** Why: a reason of `docs/error-codes.md`. */
  readonly code: Refused['reason'];
  readonly refused: Refused;

  constructor(refused: Refused, asked: Asked, cause?: unknown) {
    super(inWords(refused, asked), { cause });
    this.code = refused.reason;
    this.refused = refused;
  }
}

function inWords({ id, reason, explanation, dimension }: Refused, asked: Asked): string {
  return [
    explanation,
    `  code       ${reason} (docs/error-codes.md#${reason})`,
    ...(dimension ? [`  dimension  ${dimension}`] : []),
    `  asked      ${printable(asked.action)} on ${printable(asked.resource)}`,
    `  decision   ${id} (npm run -s dev -- record ${id})`,
  ].join('\n');
}

/** A name from outside can't fake a line of its own. */
function printable(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').slice(0, 512) || '-';
}
