export { describeExcess, describeMiss } from './describe.ts';
export { ScopeError, type ScopeErrorCode, type ScopeErrorContext } from './errors.ts';
export { LIMITS } from './limits.ts';
export { parseOperation } from './operation.ts';
export { type Miss, type PermitsResult, permits } from './permits.ts';
export { narrower, samples } from './samples.ts';
export { type Excess, excess, isSingle, type MeetResult, meet, scope, within } from './scope.ts';
export type {
  Constraint,
  ElementTests,
  Json,
  JsonObject,
  Operation,
  Permission,
  Scope,
  TestName,
} from './types.ts';
