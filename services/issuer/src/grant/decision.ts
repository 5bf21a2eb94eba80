import { isReason, type MintRequest, type MintResponse, type Reason } from '@remit/contracts';
import { IssuerError, type IssuerErrorCode, type IssuerErrorContext } from '../error.ts';

/** A decision that allowed a token, with what the task type says about the task. */
export type AllowedDecision = MintResponse & { task: NonNullable<MintResponse['task']> };

/** Refusals that are not about the details of the request. */
const CODES: ReadonlyMap<string, IssuerErrorCode> = new Map<Reason, IssuerErrorCode>([
  ['agent_inactive', 'CLIENT_UNAUTHORIZED'],
  ['request_malformed', 'DETAILS_INVALID'],
  ['slot_invalid', 'DETAILS_INVALID'],
  ['target_unknown', 'TARGET_INVALID'],
  ['user_inactive', 'SUBJECT_TOKEN_INVALID'],
  ['user_unknown', 'SUBJECT_TOKEN_INVALID'],
]);

/**
 * Asks for the minting decision and returns it when it allows (02, rule 1: no token without it).
 * A refusal is an IssuerError that names the refused part of the caller's own request, the dimension
 * and the argument's path; bounds, policies and the nearest miss go to the record alone. What the
 * details ask for and may not have is `invalid_authorization_details` (RFC 9396 section 5).
 * Throws IssuerError `DETAILS_REFUSED`, `DETAILS_INVALID`, `TARGET_INVALID`, `CLIENT_UNAUTHORIZED`,
 * `SUBJECT_TOKEN_INVALID` or `SERVICE_UNAVAILABLE`.
 */
export async function requireAllowed(
  mint: (request: MintRequest) => Promise<MintResponse>,
  request: MintRequest,
): Promise<AllowedDecision> {
  const decision = await mint(request);
  const { task } = decision;
  if (decision.decision !== 'allow') throw refusal(decision);
  // An answer that allows nothing, or not what a token needs, is no allow.
  if (!task || decision.permissions.length === 0) {
    throw new IssuerError('SERVICE_UNAVAILABLE', 'The decision is not complete.', {
      reason: 'pdp_unavailable',
    });
  }
  return { ...decision, task };
}

function refusal(decision: MintResponse): IssuerError {
  const reason = isReason(decision.reason) ? decision.reason : 'internal';
  const { dimension, refused } = decision;
  const context: IssuerErrorContext = {
    reason,
    ...(dimension === undefined ? {} : { dimension }),
    ...(refused === undefined ? {} : { refused }),
    decision,
  };
  return new IssuerError(CODES.get(reason) ?? 'DETAILS_REFUSED', sentence(decision), context);
}

const BEYOND = {
  agent: 'it goes beyond what the agent may ever do',
  user: 'it goes beyond what the user may do',
  task: 'it goes beyond what the task is for',
  policies: 'the guardrail policies do not allow it',
} as const;

/**
 * For the caller: the part of its own request and the dimension, never bounds or other scopes.
 * Without double quotes (RFC 6749 section 5.2).
 */
function sentence({ dimension, refused }: MintResponse): string {
  if (refused?.slot !== undefined) return `The slot '${refused.slot}' does not take this value.`;
  const part =
    refused?.permission === undefined
      ? 'The request'
      : `The permission at index ${refused.permission} of the request`;
  const why = dimension === undefined ? '' : `: ${BEYOND[dimension]}`;
  const where = refused?.path === undefined ? '' : `, in the argument '${refused.path}'`;
  return `${part} is refused${why}${where}.`;
}
