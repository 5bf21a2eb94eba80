import type { Reason } from '@remit/contracts';
import type { LinkCode } from './errors.ts';

/** The reason that a refused chain is recorded and answered with, wherever it was presented. */
export const LINK_REASONS: Readonly<Record<LinkCode, Reason>> = Object.freeze({
  ACTOR_CYCLE: 'actor_repeated',
  CHAIN_TOO_LARGE: 'token_too_large',
  DEPTH_EXCEEDED: 'depth_exceeded',
  EXPIRY_WIDENING: 'link_lifetime',
  LINKS_NOT_ALLOWED: 'links_not_allowed',
  LINK_ALG_NOT_ALLOWED: 'link_malformed',
  LINK_KEY_MISMATCH: 'link_key',
  LINK_MALFORMED: 'link_malformed',
  LINK_SIGNATURE_INVALID: 'link_signature',
  LINK_SPLICED: 'link_spliced',
  NOTHING_GIVEN_UP: 'not_narrower',
  SCOPE_WIDENING: 'link_widening',
});
