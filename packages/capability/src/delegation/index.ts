export { checkChild } from './check.ts';
export {
  type ChildRequest,
  type DelegationFacts,
  type DerivedChild,
  deriveChild,
} from './derive.ts';
export { type DelegationCode, DelegationError, type DelegationErrorContext } from './errors.ts';
