export { type Agent, type AgentOptions, createAgent, type Handover } from './agent.ts';
export type { Capability } from './capability.ts';
export { AgentError, type AgentErrorCode, type Refusal } from './error.ts';
export type { Fetch } from './http.ts';
export type { PrivateJwk } from './keys.ts';
export type { DelegationRequest, RenewalRequest, Task, TaskRequest } from './token-request.ts';
