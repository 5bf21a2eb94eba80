import type { Excess } from '../scope/index.ts';

export type DelegationCode =
  | 'ACTOR_CHAIN_INVALID'
  | 'ACTOR_CYCLE'
  | 'ACTOR_NOT_NAMED'
  | 'APPROVAL_CHANGED'
  | 'AUDIENCE_WIDENING'
  | 'BINDING_DOWNGRADE'
  | 'CHAIN_SPLICE'
  | 'DEPTH_EXCEEDED'
  | 'EXPIRY_WIDENING'
  | 'ISSUER_CHANGED'
  | 'LINKS_WIDENING'
  | 'NOTHING_GIVEN_UP'
  | 'SCOPE_WIDENING'
  | 'SUBJECT_CHANGED'
  | 'TASK_CHANGED'
  | 'TENANT_MISMATCH'
  | 'USE_CHANGED';

export interface DelegationErrorContext {
  /** Whose bound the request passes: the token handed on, or its entry for the next actor. */
  readonly bound?: 'parent' | 'may_act';
  /** The part of the request that is too much. */
  readonly excess?: Excess;
}

/** A child token that may not be. */
export class DelegationError extends Error {
  override readonly name = 'DelegationError';
  readonly code: DelegationCode;
  readonly context: DelegationErrorContext;

  constructor(code: DelegationCode, message: string, context: DelegationErrorContext = {}) {
    super(message);
    this.code = code;
    this.context = context;
  }
}
