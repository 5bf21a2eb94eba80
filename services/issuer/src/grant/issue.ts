import {
  type Capability,
  MAX_TOKEN_LENGTH,
  type NewCapability,
  type Operation,
  type Signer,
} from '@remit/capability';
import type { BudgetRegistration, RegisterRequest } from '@remit/contracts';
import { IssuerError } from '../error.ts';
import type { AllowedDecision } from './decision.ts';
import type { Session } from './session.ts';
import { jktOf } from './subject-token.ts';
import { signToken } from './token.ts';

/** By what a token came to be, for its record and its answer. */
export type Origin =
  /** `free`: from a list of permissions instead of a task type. */
  | { readonly grant: 'launch'; readonly free: boolean }
  /** `from`: id of the first token that was presented. */
  | { readonly grant: 'renewal'; readonly from: string }
  /** `givenUp`: what the parent admits and the child refuses; undefined where nothing had to be. */
  | { readonly grant: 'delegation'; readonly givenUp: Operation | undefined };

/** A token that was signed and not handed out yet. */
export type SignedToken = {
  readonly token: string;
  readonly capability: Capability;
  readonly decision: AllowedDecision;
  readonly signer: Pick<Signer, 'alg' | 'kid'>;
  readonly jkt: string | undefined;
  /** Epoch seconds until which the token's holder can renew it, or the end of one that nobody can. */
  readonly taskUntilSeconds: number;
  readonly origin: Origin;
};

/** Room for a proof beside a token; all together stay under 12 KB (02). */
const PROOF_ROOM = 1_024;

/**
 * Registers a token before it is signed: one that exists can be revoked and has its status index.
 * The revocation service is told what a revocation could name: ids and thumbprints, never the token;
 * and with a first token what its budgets are.
 */
export async function registerToken(
  { deps, tenant }: Pick<Session, 'deps' | 'tenant'>,
  made: NewCapability,
  { kid }: Pick<Signer, 'kid'>,
  budgets: readonly BudgetRegistration[] = [],
): Promise<Capability> {
  const jkt = jktOf(made);
  const registration: RegisterRequest = {
    jti: made.id,
    lineage: [...made.lineage],
    rev: made.rev,
    task: made.task.id,
    actors: [...made.actors],
    user: made.subject,
    client: made.clientId,
    keys: jkt === undefined ? [kid] : [jkt, kid],
    exp: made.expiresAt,
    ...(budgets.length > 0 ? { budgets: [...budgets] } : {}),
  };
  return { ...made, status: await deps.services.register(tenant, registration) };
}

/** Signs a registered token. Throws IssuerError `DETAILS_REFUSED` for one that is too large. */
export function signRegistered(
  capability: Capability,
  by: {
    signer: Signer;
    decision: AllowedDecision;
    taskUntilSeconds: number;
    origin: Origin;
  },
): SignedToken {
  const token = signToken(capability, by.signer);
  if (token.length > MAX_TOKEN_LENGTH - PROOF_ROOM) {
    throw new IssuerError('DETAILS_REFUSED', 'The token would be too large.', {
      reason: 'scope_too_large',
      decision: by.decision,
    });
  }
  return { token, capability, jkt: jktOf(capability), ...by };
}
