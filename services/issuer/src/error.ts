import type { Dimension, MintResponse, Reason } from '@remit/contracts';

/** Codes of {@link IssuerError}: why a token request ends without a token. */
export type IssuerErrorCode =
  | 'ACTOR_TOKEN_INVALID'
  | 'CLIENT_UNAUTHENTICATED'
  | 'CLIENT_UNAUTHORIZED'
  | 'CONFIG_INVALID'
  | 'DELEGATION_REFUSED'
  | 'DETAILS_INVALID'
  | 'DETAILS_REFUSED'
  | 'GRANT_TYPE_UNSUPPORTED'
  | 'INTERNAL'
  | 'PROOF_INVALID'
  | 'PROOF_NONCE_NEEDED'
  | 'REQUEST_INVALID'
  | 'SCOPE_UNSUPPORTED'
  | 'SERVICE_UNAVAILABLE'
  | 'SIGNING_KEY_UNUSABLE'
  | 'SUBJECT_TOKEN_INVALID'
  | 'TARGET_INVALID'
  | 'TENANT_UNKNOWN';

/** The verdict of a decision that refused, as its record needs it. */
export type RefusedDecision = Pick<
  MintResponse,
  'id' | 'dimensions' | 'miss' | 'policies' | 'policy_version' | 'registry_revision'
>;

export type IssuerErrorContext = {
  /** What the record of the refusal says. */
  readonly reason: Reason;
  /** What the client may be told beyond the code: a part of its own request. */
  readonly dimension?: Dimension;
  readonly refused?: NonNullable<MintResponse['refused']>;
  readonly decision?: RefusedDecision;
  /** A client whose signature verified, though it is not authenticated. For the record alone. */
  readonly signedBy?: string;
  /** What the next proof has to carry. */
  readonly nonce?: string;
  readonly cause?: unknown;
};

/**
 * A token request that ends without a token. The message is one safe sentence for the client: it
 * names parts of the client's own request, never a bound, a policy, a key or another's scope.
 */
export class IssuerError extends Error {
  override readonly name = 'IssuerError';
  readonly code: IssuerErrorCode;
  readonly context: IssuerErrorContext;

  constructor(code: IssuerErrorCode, message: string, context: IssuerErrorContext) {
    super(message, context.cause === undefined ? {} : { cause: context.cause });
    this.code = code;
    this.context = context;
  }
}
