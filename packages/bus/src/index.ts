export { type Bus, connectBus } from './bus.ts';
export type { CallOptions } from './call.ts';
export type { ConsumeOptions, Consumption, StreamMessage } from './consume.ts';
export { BusError, type BusErrorCode } from './error.ts';
export type { PrivateJwk } from './keys.ts';
export type { BusLog, BusStatus, ConnectOptions } from './link.ts';
export type { MicroOptions } from './micro.ts';
export {
  BUS_POLICIES,
  BUS_TIMES,
  type BusPolicy,
  type BusPolicyName,
  METHOD_POLICY,
} from './policies.ts';
export type { PublishRecordOptions, RecordAck } from './publish.ts';
export type {
  CallContext,
  Callee,
  EndpointStats,
  Handlers,
  Served,
  ServeOptions,
} from './serve.ts';
export { assertServerVersion, judgeServerVersion, type ServerVerdict } from './server-version.ts';
export { createSigner, type PrivateJwks, type Signer } from './signer.ts';
export type { ConsumerOptions, StreamOptions } from './streams.ts';
export type { BusSubscription, SubscribeOptions } from './subscribe.ts';
export { createVerifier, type PublicJwks, type Verifier } from './verifier.ts';
