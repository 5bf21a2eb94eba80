export { type Agent, type AgentOptions, createAgent } from './agent.ts';
export type { Capability } from './capability.ts';
export { AgentError, type AgentErrorCode, type Refusal } from './error.ts';
export type { HandOnRequest } from './hand-on.ts';
export type { Handover } from './handover.ts';
export { createWorker, type Holder, type WorkerOptions } from './holder.ts';
export type { Fetch } from './http.ts';
export type { PrivateJwk } from './keys.ts';
export type {
  DelegationRequest,
  RenewalRequest,
  Task,
  TaskLimits,
  TaskRequest,
} from './token-request.ts';
