export type { Asked } from './decide.ts';
export { AccessDenied } from './denied.ts';
export { PepError, type PepErrorCode } from './error.ts';
export { type GuardSpec, guard } from './guard.ts';
export { type Allowed, createPep, type Pep, type PepOptions, type Refused } from './pep.ts';
export type { Presented } from './presented.ts';
