export { createLink, type NewLink } from './create.ts';
export { type LinkCode, LinkError, type LinkErrorContext } from './errors.ts';
export { LINK_REASONS } from './link-reasons.ts';
export { type LinkClaims, type ReadLink, readLink } from './read.ts';
export type { ChainLink } from './rules.ts';
export {
  type ChainOptions,
  type SplitChain,
  splitChain,
  type VerifiedChain,
  verifyChain,
} from './verify.ts';
