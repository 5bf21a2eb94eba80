export type { Asked } from './decide.ts';
export { AccessDenied } from './denied.ts';
export type { Allowed, Refused } from './enforce.ts';
export { PepError, type PepErrorCode } from './error.ts';
export { type GuardSpec, guard } from './guard.ts';
export type { ResourceDescription, ResourceMetadata } from './metadata.ts';
export { nothingDone } from './nothing-done.ts';
export { createPep, type Pep, type PepOptions } from './pep.ts';
export type { Presented } from './presented.ts';
