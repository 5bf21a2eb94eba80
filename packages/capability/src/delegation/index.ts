export { checkChild, checkNextActor } from './check.ts';
export { type ChildRequest, type DerivedChild, deriveChild } from './derive.ts';
export { type DelegationCode, DelegationError, type DelegationErrorContext } from './errors.ts';
