import type { Excess } from '../scope/index.ts';

export type LinkCode =
  | 'ACTOR_CYCLE'
  | 'CHAIN_TOO_LARGE'
  | 'DEPTH_EXCEEDED'
  | 'EXPIRY_WIDENING'
  | 'LINKS_NOT_ALLOWED'
  | 'LINK_ALG_NOT_ALLOWED'
  | 'LINK_KEY_MISMATCH'
  | 'LINK_MALFORMED'
  | 'LINK_SIGNATURE_INVALID'
  | 'LINK_SPLICED'
  | 'NOTHING_GIVEN_UP'
  | 'SCOPE_WIDENING';

/** What was compared. Never a token, a link or a key. */
export interface LinkErrorContext {
  /** Place of the link in its chain, from 0. */
  readonly link?: number;
  readonly claim?: string;
  /** Whose bound the link passes: what stands before it, or the entry of the actor that it names. */
  readonly bound?: 'parent' | 'may_act';
  /** The part of its scope that is too much. */
  readonly excess?: Excess;
}

/** A chain that may not be, or a link that may not be made. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  readonly code: LinkCode;
  readonly context: LinkErrorContext;

  constructor(
    code: LinkCode,
    message: string,
    context: LinkErrorContext = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
  }
}
